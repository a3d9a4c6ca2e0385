"""The people around a shop under test, and the time they live in."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from follower import Follower

from bot.simulator.stage import Stage, make_owner
from bot.simulator.wire import Person


@dataclass(frozen=True)
class Blank:
    """Where the migrated, stocked databases lie that every test gets a copy of."""

    folder: Path
    file: Path
    url: str


class Town:
    """Everybody who may walk in; a name is always the same person."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.people: dict[tuple[str, str], Follower] = {}

    def wechat(self, name: str) -> Follower:
        """Somebody with WeChat."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._person("wechat", "o" + digest[:27], name)

    def weibo(self, name: str) -> Follower:
        """Somebody with Weibo."""
        digest = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
        return self._person("weibo", str(2_000_000_000 + digest % 1_000_000_000), name)

    def _person(self, channel: str, who: str, name: str) -> Follower:
        key = (channel, name)
        if key not in self.people:
            self.people[key] = Follower(self.stage.driver, Person(channel, who, name))
        return self.people[key]

    async def owner(self, name: str = "老板") -> Follower:
        """The owner, who follows the account and has said the one-time code."""
        one = self.wechat(name)
        await one.follows()
        await one.says(f"绑定 {await make_owner(self.stage.house)}")
        return one

    async def later(self, **span: float) -> None:
        """Time passes, and everything that has become due happens."""
        await self.stage.house.move_clock(timedelta(**span))
        await self.stage.cashier.tick()
        await self.stage.house.courier.drain()

    async def settles(self) -> None:
        """What is in hand is finished: foreground errands, promises that are due."""
        await self.stage.house.tasks.settle(5)
        await self.stage.house.courier.drain()

"""The WeChat door: what comes to /wechat is checked and opened, and answered in WeChat's own envelope."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from aiohttp import hdrs, web

from bot.door import DEADLINE, Desk, Door, Refused, Unreadable, Watch, fresh, uncounted
from bot.face import Answer
from bot.settings import WeChat
from bot.wechat import events
from bot.wechat.codec import Codec, Malformed, parse, reply
from handlers.routing import Told

IN_XML: Mapping[str, str] = {hdrs.CONTENT_TYPE: "text/xml; charset=utf-8"}


class WeChatDoor(Door):
    """POST takes the envelope only, unless the account is in plain mode; then the body is anybody's word."""

    platform = "wechat"
    nothing = b"success"  # nothing to say, do not ask again (doc: passive reply); never encrypted
    written = IN_XML

    def __init__(
        self,
        wechat: WeChat,
        desk: Desk,
        clock: Watch,
        *,
        deadline: float,
        count: Callable[[str], None],
        previous_keys: Sequence[str],
    ) -> None:
        super().__init__(wechat.account, desk, clock, deadline=deadline, count=count)
        keys = [wechat.encoding_aes_key.get_secret_value(), *previous_keys]
        self._codec = Codec(wechat.token.get_secret_value(), wechat.app_id, keys)
        self._plain, self._trust_plain = wechat.plain, wechat.trust_plain

    def check(self, query: Mapping[str, str]) -> None:
        timestamp = query.get("timestamp", "")
        if not self._codec.signed(query.get("signature", ""), timestamp, query.get("nonce", "")):
            raise Refused("signature")
        if not fresh(timestamp, 10, self._clock.timestamp()):
            raise Refused("stale")

    def read(self, query: Mapping[str, str], body: bytes) -> Told:
        sealed = query.get("encrypt_type") == "aes"
        xml = self._opened(query, body) if sealed or not self._plain else body
        try:
            return events.told(parse(xml), signed=sealed or self._trust_plain, count=self._count)
        except Malformed as broken:
            if broken.forbidden:
                raise Refused("forbidden") from None
            raise Unreadable(str(broken)) from None

    def _opened(self, query: Mapping[str, str], body: bytes) -> bytes:
        """The XML inside the envelope; what stands beside <Encrypt> (compatible mode) is not read."""
        if query.get("encrypt_type") != "aes" or not self._codec.can_seal:
            raise Refused("downgrade")
        signature = query.get("msg_signature", "")
        if not signature:
            raise Refused("msg_signature")
        try:
            encrypted = parse(body).get("Encrypt")
        except Malformed:
            raise Refused("envelope") from None
        if not isinstance(encrypted, str) or not encrypted:
            raise Refused("downgrade")
        if not self._codec.signed(signature, query["timestamp"], query.get("nonce", ""), encrypted):
            raise Refused("msg_signature")
        return self._codec.decrypt(encrypted)

    def write(self, query: Mapping[str, str], told: Told, answer: Answer) -> bytes:
        at = self._clock.timestamp()
        said = reply(answer, told.who, told.account, at)
        return self._codec.seal(said, at) if said and query.get("encrypt_type") == "aes" else said


def doors(
    wechat: WeChat,
    desk: Desk,
    clock: Watch,
    *,
    deadline: float = DEADLINE,
    count: Callable[[str], None] = uncounted,
    previous_keys: Sequence[str] = (),
) -> list[web.RouteDef]:
    """The routes of `settings.wechat`: GET and POST /wechat.

    `deadline` is in seconds from the first line of a push to its answer; `count` hears one word for every
    refusal and fault (for the metrics); `previous_keys` are EncodingAESKeys that pushes may still come with.
    """
    door = WeChatDoor(wechat, desk, clock, deadline=deadline, count=count, previous_keys=previous_keys)
    return door.routes("/wechat")

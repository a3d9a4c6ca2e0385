"""Whether the shop lives, whether it can serve, and what it counts."""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import column, func, select, table

from models import migrations, quarantine
from models.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from bot.app import House

WORKER_SECONDS = 90
NOW = {"Cache-Control": "no-store"}


class _Counts:
    """What the house has counted, as Prometheus reads it."""

    def __init__(self, house: House, waiting: dict[str, int]) -> None:
        self.house, self.waiting = house, waiting

    def collect(self) -> Iterable[Metric]:
        counted = CounterMetricFamily("tuanpu_events", "refusals, faults and other events", labels=["event"])
        for word, n in sorted(self.house.counts.items()):
            counted.add_metric([word], n)
        yield counted
        outbox = GaugeMetricFamily("tuanpu_outbox", "promises by state", labels=["state"])
        for state, n in sorted(self.waiting.items()):
            outbox.add_metric([state], n)
        yield outbox
        yield GaugeMetricFamily("tuanpu_catalogue_goods", "goods on the shelf", len(self.house.catalogs.current.order))


async def _revision(house: House) -> str:
    """The revision the database is at, read beside those who write: a look takes no lock."""
    row = await house.store.reader.one(select(column("version_num")).select_from(table("alembic_version")))
    return str(row.version_num) if row is not None else ""


async def _state(house: House) -> tuple[dict[str, object], list[str]]:
    """What to say of the shop, and what keeps it from serving."""
    said: dict[str, object] = {}
    faults, degraded = [], []
    if house.stopping:
        faults.append("stopping")
    try:
        said["revision"] = await _revision(house)
        if said["revision"] != migrations.head():
            faults.append("the database is at another revision: tuanpu migrate")
        elif await quarantine.standing(house.store.reader) is not None:
            degraded.append("restored: in quarantine")
    except Exception as failure:
        faults.append(f"database: {type(failure).__name__}")
    if house.settings.redis.url and not await house.shared.ready():
        degraded.append("redis")  # limits hold per process, money is unaffected; of the worker nothing is known
    else:
        beat = await house.shared.get("worker")
        if beat is None or house.clock.timestamp() - int(beat) > WORKER_SECONDS:
            faults.append("no worker has been heard of: tuanpu work")
    if house.settings.wechat and house.settings.wechat.trust_plain:
        degraded.append("wechat.trust_plain")
    return said | {"degraded": degraded}, faults


def doors(house: House) -> list[web.RouteDef]:
    """GET /healthz, /readyz, /metrics; the latter two from loopback that is no proxy, or with the token; else 404."""
    token = house.settings.server.metrics_token.get_secret_value().encode()

    def allowed(request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if token and scheme == "Bearer" and hmac.compare_digest(token, given.encode("utf-8", "surrogateescape")):
            return True
        peer = request.transport.get_extra_info("peername") if request.transport else None
        if not isinstance(peer, tuple):
            return False
        address = ipaddress.ip_address(peer[0])
        address = getattr(address, "ipv4_mapped", None) or address
        behind = any(address in network for network in house.settings.server.proxies)
        return address.is_loopback and not behind

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True}, headers=NOW)

    async def readyz(request: web.Request) -> web.Response:
        if not allowed(request):
            raise web.HTTPNotFound
        said, faults = await _state(house)
        told = said | {"ready": not faults, "faults": faults}
        return web.json_response(told, status=503 if faults else 200, headers=NOW)

    async def metrics(request: web.Request) -> web.Response:
        if not allowed(request):
            raise web.HTTPNotFound
        rows = await house.store.reader.all(
            select(Outbox.state, func.count().label("n"))
            .where(Outbox.state.in_(["due", "leased", "missed", "unknown"]))
            .group_by(Outbox.state)
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Counts(house, {r.state: r.n for r in rows}))
        return web.Response(body=generate_latest(registry), headers=NOW | {"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)]

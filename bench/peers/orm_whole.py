"""The same order as the shop keeps it, fact by fact, by the plain unit of work: wechatpy, aiohttp, SQLAlchemy's ORM.

    orm_whole.py prepare DATABASE PEOPLE
    orm_whole.py serve PORT DATABASE

「买 A801」 from somebody whose address is known. In one transaction: the message is noted, the talk is locked; within a
savepoint the goods, the address, what is unpaid, discounts, freight and the promised time are looked up, the order is
numbered, priced and written with its line, the stock is held; then the right to speak, the talk and the answer are
kept. What is personal is sealed with AES-GCM. Left out beside the shop: Redis (dedupe, limits, the newest list), words
and their meanings, templates.
"""

import asyncio
import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta

from aiohttp import web
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import JSON, DateTime, ForeignKey, LargeBinary, TypeDecorator, UniqueConstraint, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from wechatpy import create_reply, parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.utils import check_signature

account = json.loads(os.environ["BENCH_ACCOUNT"])
crypto = WeChatCrypto(account["token"], account["aes_key"], account["app_id"])
cipher = AESGCM(account["aes_key"].encode()[:32])
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


class Sealed(TypeDecorator):
    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value, dialect):
        if value is None:
            return None
        nonce = os.urandom(12)
        return nonce + cipher.encrypt(nonce, json.dumps(value, ensure_ascii=False).encode(), None)

    def process_result_value(self, value, dialect):
        return None if value is None else json.loads(cipher.decrypt(value[:12], value[12:], None))


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict: Sealed, list: JSON}  # noqa: RUF012


class Inbox(Base):
    __tablename__ = "inbox"
    __table_args__ = (UniqueConstraint("openid", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    openid: Mapped[str]
    key: Mapped[str]
    heard: Mapped[datetime] = mapped_column(index=True)
    answer: Mapped[dict | None]


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    openid: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    since: Mapped[datetime]
    following: Mapped[bool]


class Talk(Base):
    __tablename__ = "talk"
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), primary_key=True)
    number: Mapped[int]
    state: Mapped[dict]
    missed: Mapped[int]


class Speech(Base):
    __tablename__ = "speech"
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), primary_key=True)
    typed_at: Mapped[datetime]
    typed_used: Mapped[int]


class Address(Base):
    __tablename__ = "address"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    name: Mapped[str] = mapped_column(Sealed)
    phone: Mapped[str] = mapped_column(Sealed)
    region: Mapped[str] = mapped_column(Sealed)
    detail: Mapped[str] = mapped_column(Sealed)
    used: Mapped[datetime]


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    keywords: Mapped[list]
    ships: Mapped[bool]
    state: Mapped[str]
    changed: Mapped[datetime]
    skus: Mapped[list["Sku"]] = relationship(order_by=lambda: Sku.id)


class Sku(Base):
    __tablename__ = "sku"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    label: Mapped[str]
    price: Mapped[int]
    on_hand: Mapped[int]
    held: Mapped[int]


class Discount(Base):
    __tablename__ = "discount"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
    percent: Mapped[int]
    begins: Mapped[datetime]
    ends: Mapped[datetime] = mapped_column(index=True)


class Zone(Base):
    __tablename__ = "zone"
    id: Mapped[int] = mapped_column(primary_key=True)
    provinces: Mapped[list]
    first_fen: Mapped[int]
    free_from_fen: Mapped[int | None]


class Promised(Base):
    __tablename__ = "promised"
    id: Mapped[int] = mapped_column(primary_key=True)
    hours: Mapped[int]


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[str] = mapped_column(unique=True)
    pay_code: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    state: Mapped[str] = mapped_column(index=True)
    goods: Mapped[int]
    discount: Mapped[int]
    freight: Mapped[int]
    total: Mapped[int]
    receiver: Mapped[str] = mapped_column(Sealed)
    phone: Mapped[str] = mapped_column(Sealed)
    region: Mapped[str] = mapped_column(Sealed)
    detail: Mapped[str] = mapped_column(Sealed)
    note: Mapped[str] = mapped_column(Sealed)
    ships: Mapped[bool]
    made: Mapped[datetime]
    pay_until: Mapped[datetime]
    promise_hours: Mapped[int]
    version: Mapped[int] = mapped_column()
    lines: Mapped[list["OrderLine"]] = relationship()
    holds: Mapped[list["Hold"]] = relationship()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class OrderLine(Base):
    __tablename__ = "order_line"
    __table_args__ = (UniqueConstraint("order_id", "sku_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    sku_id: Mapped[int] = mapped_column(ForeignKey("sku.id"))
    code: Mapped[str]
    name: Mapped[str]
    spec: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[int]
    discount: Mapped[int]
    amount: Mapped[int]
    ships: Mapped[bool]


class Hold(Base):
    __tablename__ = "hold"
    __table_args__ = (UniqueConstraint("order_id", "kind", "thing"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    kind: Mapped[str]
    thing: Mapped[int] = mapped_column(index=True)
    quantity: Mapped[int]
    until: Mapped[datetime]
    state: Mapped[str]


def engine_of(database: str):
    return create_async_engine(
        database.replace("postgresql://", "postgresql+asyncpg://"), pool_size=8, max_overflow=0, pool_timeout=30
    )


def draw(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


async def place(session, customer: Customer, code: str, now: datetime) -> tuple[str, dict]:
    """The order itself; what is answered, and what the talk keeps of it."""
    offered = select(Product).where(Product.code == code, Product.state == "on").options(selectinload(Product.skus))
    product = (await session.scalars(offered)).one()
    home = select(Address).where(Address.customer_id == customer.id).order_by(Address.used.desc()).limit(1)
    to = (await session.scalars(home)).one()
    mine = select(Order).where(Order.customer_id == customer.id, Order.state.in_(["pending", "closing"]))
    if len((await session.scalars(mine)).all()) >= 5:
        return "先把没付的付了吧", {}
    runs = select(Discount).where(
        or_(Discount.product_id.is_(None), Discount.product_id == product.id),
        Discount.begins <= now,
        Discount.ends > now,
    )
    off = (await session.scalars(runs.order_by(Discount.percent.desc()).limit(1))).first()
    zones = (await session.scalars(select(Zone).order_by(Zone.id))).all()
    promised = (await session.scalars(select(Promised).order_by(Promised.id.desc()).limit(1))).first()
    sku = (await session.scalars(select(Sku).where(Sku.id == product.skus[0].id).with_for_update())).one()
    if sku.on_hand - sku.held < 1:
        return f"{product.name} 卖完了", {}
    no, pay_code = draw(8), draw(10)
    while (await session.scalars(select(Order).where(or_(Order.no == no, Order.pay_code == pay_code)))).first():
        no, pay_code = draw(8), draw(10)
    less = sku.price * off.percent // 100 if off else 0
    zone = next((z for z in zones if not z.provinces or to.region[:3] in z.provinces), None)
    freight = 800 if zone is None else zone.first_fen
    until = now + timedelta(minutes=30)
    sku.held += 1
    made = Order(
        no=no,
        pay_code=pay_code,
        customer_id=customer.id,
        state="pending",
        goods=sku.price,
        discount=less,
        freight=freight,
        total=sku.price - less + freight,
        receiver=to.name,
        phone=to.phone,
        region=to.region,
        detail=to.detail,
        note="",
        ships=product.ships,
        made=now,
        pay_until=until,
        promise_hours=promised.hours if promised else 48,
        version=1,
    )
    made.lines.append(
        OrderLine(
            sku_id=sku.id,
            code=code,
            name=product.name,
            spec=sku.label,
            quantity=1,
            price=sku.price,
            discount=less,
            amount=sku.price - less,
            ships=product.ships,
        )
    )
    made.holds.append(Hold(kind="stock", thing=sku.id, quantity=1, until=until + timedelta(minutes=5), state="held"))
    session.add(made)
    said = (
        f"订单 {no}，给您留着了：\n{product.name} ×1 ¥{sku.price / 100:g}\n运费 ¥{freight / 100:g}\n"
        f"合计 ¥{made.total / 100:g}\n寄到 {to.name[:1]}* {to.region}***\n付款 http://127.0.0.1/pay/{pay_code}"
    )
    return said, {"shown": no, "at": now.timestamp()}


async def order(session, openid: str, key: str, code: str) -> str:
    now = datetime.now(UTC)
    heard = Inbox(openid=openid, key=key, heard=now)
    session.add(heard)
    await session.flush()
    customer = (await session.scalars(select(Customer).where(Customer.openid == openid))).one()
    talk = (await session.scalars(select(Talk).where(Talk.customer_id == customer.id).with_for_update())).one()
    async with session.begin_nested():
        said, kept = await place(session, customer, code, now)
    speech = await session.get(Speech, customer.id)
    if speech is None:
        session.add(Speech(customer_id=customer.id, typed_at=now, typed_used=0))
    else:
        speech.typed_at, speech.typed_used = now, 0
    talk.number, talk.state = talk.number + 1, kept
    heard.answer = {"text": said}
    return said


def application(database: str) -> web.Application:
    sessions = async_sessionmaker(engine_of(database), expire_on_commit=False)

    async def wechat(request: web.Request) -> web.Response:
        query = request.query
        nonce, timestamp = query.get("nonce", ""), query.get("timestamp", "")
        try:
            check_signature(account["token"], query.get("signature", ""), timestamp, nonce)
            body = await request.read()
            message = parse_message(crypto.decrypt_message(body, query.get("msg_signature", ""), timestamp, nonce))
        except (InvalidSignatureException, InvalidAppIdException):
            return web.Response(status=403)
        key, code = str(message.id), message.content.split()[1]
        try:
            async with sessions() as session, session.begin():
                answer = await order(session, message.source, key, code)
        except IntegrityError:
            async with sessions() as session:
                known = select(Inbox.answer).where(Inbox.openid == message.source, Inbox.key == key)
                answer = (await session.scalars(known)).one()["text"]
        sealed = crypto.encrypt_message(create_reply(answer, message).render(), nonce, timestamp)
        return web.Response(text=sealed, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/wechat", wechat)
    return app


async def prepare(database: str, people: int) -> None:
    engine, now = engine_of(database), datetime.now(UTC)
    home = {"name": "张三", "phone": "13800138000", "region": "浙江省杭州市西湖区", "detail": "文三路1号", "used": now}
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        known = {"name": "", "since": now, "following": True}
        for start in range(0, people, 2000):
            some = range(start, min(start + 2000, people))
            await connection.execute(insert(Customer), [{"openid": f"o{n:027d}", **known} for n in some])
        ids = (await connection.scalars(select(Customer.id))).all()
        for start in range(0, people, 2000):
            some = ids[start : start + 2000]
            await connection.execute(insert(Address), [{"customer_id": i, **home} for i in some])
            empty = {"number": 0, "state": {}, "missed": 0}
            await connection.execute(insert(Talk), [{"customer_id": i, **empty} for i in some])
        for n in range(40):
            code = f"A8{n:02d}"
            goods = {"code": code, "name": f"好茶 {code}", "keywords": [], "ships": True, "state": "on", "changed": now}
            made = await connection.execute(insert(Product).values(goods).returning(Product.id))
            spec = {"product_id": made.scalar_one(), "label": "", "price": 8800, "on_hand": 10**6, "held": 0}
            await connection.execute(insert(Sku).values(spec))
    async with engine.connect() as connection:
        aside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await aside.exec_driver_sql("VACUUM ANALYZE")
    await engine.dispose()


match sys.argv[1:]:
    case ["prepare", database, people]:
        asyncio.run(prepare(database, int(people)))
    case ["serve", port, database]:
        web.run_app(application(database), host="127.0.0.1", port=int(port), access_log=None, print=None)
    case _:
        sys.exit(__doc__)

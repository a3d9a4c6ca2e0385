"""A shop as the field writes one: wechatpy on aiohttp, one ORM session for a message, SELECT … FOR UPDATE.

    orm_orders.py prepare DATABASE PEOPLE SALES
    orm_orders.py serve PORT DATABASE

「买 A801」 from somebody whose address is known: the message is noted, the stock is taken, order, line, state of the
talk, a promise to tell the seller and the answer are written, all in one transaction.
"""

import asyncio
import json
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta

from aiohttp import web
from sqlalchemy import JSON, DateTime, ForeignKey, UniqueConstraint, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from wechatpy import create_reply, parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.utils import check_signature

account = json.loads(os.environ["BENCH_ACCOUNT"])
crypto = WeChatCrypto(account["token"], account["aes_key"], account["app_id"])


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict: JSON}  # noqa: RUF012


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    openid: Mapped[str] = mapped_column(unique=True)
    state: Mapped[dict]
    spoke: Mapped[datetime | None]


class Address(Base):
    __tablename__ = "address"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    name: Mapped[str]
    phone: Mapped[str]
    detail: Mapped[str]


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    price: Mapped[int]
    stock: Mapped[int]


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[str] = mapped_column(unique=True)
    pay_code: Mapped[str] = mapped_column(unique=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    state: Mapped[str]
    total: Mapped[int]
    receiver: Mapped[str]
    phone: Mapped[str]
    detail: Mapped[str]
    made: Mapped[datetime]
    pay_until: Mapped[datetime]
    lines: Mapped[list["OrderLine"]] = relationship()


class OrderLine(Base):
    __tablename__ = "order_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    code: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[int]


class Outbox(Base):
    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    payload: Mapped[dict]
    state: Mapped[str]
    due: Mapped[datetime] = mapped_column(index=True)


class Inbox(Base):
    __tablename__ = "inbox"
    __table_args__ = (UniqueConstraint("openid", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    openid: Mapped[str]
    key: Mapped[str]
    heard: Mapped[datetime]
    answer: Mapped[str | None]


def engine_of(database: str):
    return create_async_engine(
        database.replace("postgresql://", "postgresql+asyncpg://"), pool_size=8, max_overflow=0, pool_timeout=30
    )


async def order(session, openid: str, key: str, code: str) -> str:
    now = datetime.now(UTC)
    heard = Inbox(openid=openid, key=key, heard=now)
    session.add(heard)
    await session.flush()
    customer = (await session.scalars(select(Customer).where(Customer.openid == openid))).one()
    address = (await session.scalars(select(Address).where(Address.customer_id == customer.id))).one()
    product = (await session.scalars(select(Product).where(Product.code == code).with_for_update())).one()
    customer.spoke = now
    if product.stock < 1:
        heard.answer = f"{product.name} 卖完了"
        return heard.answer
    product.stock -= 1
    made = Order(
        no=secrets.token_hex(4),
        pay_code=secrets.token_hex(5),
        customer_id=customer.id,
        state="pending",
        total=product.price,
        receiver=address.name,
        phone=address.phone,
        detail=address.detail,
        made=now,
        pay_until=now + timedelta(minutes=30),
    )
    made.lines.append(OrderLine(product_id=product.id, code=code, name=product.name, quantity=1, price=product.price))
    session.add(made)
    session.add(Outbox(kind="notice", payload={"order": made.no, "to": openid}, state="due", due=made.pay_until))
    customer.state = {"shown": made.no, "at": now.timestamp()}
    heard.answer = (
        f"订单 {made.no}，给您留着了：\n{product.name} ×1 ¥{product.price / 100:g}\n"
        f"寄到 {address.name} {address.detail}\n付款 http://127.0.0.1/pay/{made.pay_code}"
    )
    return heard.answer


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
                answer = (await session.scalars(known)).one()
        sealed = crypto.encrypt_message(create_reply(answer, message).render(), nonce, timestamp)
        return web.Response(text=sealed, content_type="text/xml")

    app = web.Application()
    app.router.add_post("/wechat", wechat)
    return app


async def prepare(database: str, people: int, sales: int) -> None:
    engine = engine_of(database)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        for start in range(0, people, 2000):
            some = range(start, min(start + 2000, people))
            await connection.execute(insert(Customer), [{"openid": f"o{n:027d}", "state": {}} for n in some])
        ids = (await connection.scalars(select(Customer.id))).all()
        home = {"name": "张三", "phone": "13800138000", "detail": "浙江省杭州市西湖区文三路1号"}
        for start in range(0, people, 2000):
            await connection.execute(insert(Address), [{"customer_id": i, **home} for i in ids[start : start + 2000]])
        goods = [{"code": f"A8{n:02d}", "stock": 10**6} for n in range(40)]
        goods += [{"code": f"A7{n:02d}", "stock": 100} for n in range(sales)]
        await connection.execute(insert(Product), [{"name": f"好茶 {g['code']}", "price": 8800, **g} for g in goods])
    async with engine.connect() as connection:
        aside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await aside.exec_driver_sql("VACUUM ANALYZE")
    await engine.dispose()


match sys.argv[1:]:
    case ["prepare", database, people, sales]:
        asyncio.run(prepare(database, int(people), int(sales)))
    case ["serve", port, database]:
        web.run_app(application(database), host="127.0.0.1", port=int(port), access_log=None, print=None)
    case _:
        sys.exit(__doc__)

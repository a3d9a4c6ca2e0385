"""For everything that must always hold a fault is planted, and `tuanpu verify` finds it.

The faults are planted by SQL into a copy of a lived-in shop from which keys, checks and triggers were taken away; a
transaction that is rolled back keeps one fault from the next.
"""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lived import KINDS, Lived, copied, copy_of, lived_in
from servers import Postgres
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection
from town import Blank

from models import ledger, tables, verify
from models.base import Moment
from models.store import Store
from models.verify import breaking, offenders

MINUTE = timedelta(minutes=1)
AGO = timedelta(minutes=40)
NEW = 900_001  # the id of a row that is planted


@dataclass(frozen=True)
class Fault:
    """`pick` finds the row to spoil, `acts` spoil it (:id), `names` finds what the invariant is to name; else :id.

    A fault that is forgiven for a while is there since :begun.
    """

    pick: str
    acts: tuple[str, ...]
    names: str = ""


def fault(pick: str, *acts: str, names: str = "") -> Fault:
    return Fault(f"SELECT {pick}", acts, names)


def twin(table: str, **changed: str) -> str:
    """An act: the row :id once more, under the id NEW, with some columns changed (SQL expressions)."""
    columns = [column.name for column in tables.metadata.tables[table].columns]
    given = {"id": str(NEW)} | changed
    listed = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(given.get(name, f'"{name}"') for name in columns)
    return f'INSERT INTO "{table}" ({listed}) SELECT {values} FROM "{table}" WHERE id = :id'


PLANTED = f"SELECT {NEW}"
PAID_IN_GROUP = "s.id FROM seat s JOIN groupbuy g ON g.id = s.group_id WHERE s.state = 'taken' AND g.state"
ORDER_OF = "(SELECT order_id FROM seat WHERE id = :id)"
GROUP_OF = "(SELECT group_id FROM seat WHERE id = :id)"
ROW_OF_ORDER = 'id FROM "order" WHERE state'

FAULTS: dict[str, Fault] = {
    # -- what was heard, and who is there
    "inbox_answered": fault("max(id) FROM inbox", "UPDATE inbox SET answer = NULL WHERE id = :id"),
    "inbox_forgotten": fault("max(id) FROM inbox", "UPDATE inbox SET heard = :begun WHERE id = :id"),
    "talk_number": fault("max(follower_id) FROM talk", "UPDATE talk SET number = -1 WHERE follower_id = :id"),
    "talk_counts_missed": fault(
        "max(follower_id) FROM talk", "UPDATE talk SET missed = missed + 1 WHERE follower_id = :id"
    ),
    "follower_left": fault("id FROM follower WHERE following", "UPDATE follower SET left_at = :now WHERE id = :id"),
    "staff_role_known": fault("max(id) FROM staff", "UPDATE staff SET role = 9 WHERE id = :id"),
    "staff_code_role_known": fault("max(id) FROM staff_code", "UPDATE staff_code SET role = 9 WHERE id = :id"),
    "staff_bound": fault(
        "max(id) FROM staff",
        "UPDATE audit SET act = 'bound' WHERE follower_id = (SELECT follower_id FROM staff WHERE id = :id)",
    ),
    "audit_named": fault("max(id) FROM audit", "UPDATE audit SET act = '' WHERE id = :id"),
    "tick_slot": fault("max(name) FROM tick", "UPDATE tick SET slot = -1 WHERE name = :id"),
    "answer_known": fault(
        "max(topic) FROM shop_answer",
        "UPDATE shop_answer SET topic = '天气' WHERE topic = :id",
        names="SELECT '天气'",
    ),
    "speech_not_overspent": fault(
        "max(follower_id) FROM speech", "UPDATE speech SET typed_used = 21 WHERE follower_id = :id"
    ),
    # -- what was promised
    "outbox_follower": fault(
        "max(id) FROM outbox WHERE kind = 'notice'", "UPDATE outbox SET follower_id = NULL WHERE id = :id"
    ),
    "outbox_push_campaign": fault(
        "max(id) FROM outbox WHERE kind = 'push'", "UPDATE outbox SET campaign_id = NULL WHERE id = :id"
    ),
    "outbox_leased_to_somebody": fault(
        "id FROM outbox WHERE state = 'due'", "UPDATE outbox SET state = 'leased', token = '' WHERE id = :id"
    ),
    "outbox_ended_dated": fault(
        "max(id) FROM outbox WHERE state = 'done'", "UPDATE outbox SET done_at = NULL WHERE id = :id"
    ),
    "outbox_in_time": fault("id FROM outbox WHERE state = 'due'", "UPDATE outbox SET due = :begun WHERE id = :id"),
    # -- goods, offers, carts
    "stock_held_within": fault("max(id) FROM sku", "UPDATE sku SET held = on_hand + 1 WHERE id = :id"),
    "offer_ended_dated": fault(
        "max(id) FROM group_offer WHERE state = 'on'", "UPDATE group_offer SET state = 'off' WHERE id = :id"
    ),
    "cart_quantity": fault("max(id) FROM cart_line", "UPDATE cart_line SET quantity = 100 WHERE id = :id"),
    "discount_within": fault("id FROM timed_discount", "UPDATE timed_discount SET percent = 0 WHERE id = :id"),
    "freight_template_zoned": fault(
        "id FROM freight_template WHERE state = 'on'", "DELETE FROM freight_zone WHERE template_id = :id"
    ),
    "promise_sane": fault("max(id) FROM promise", "UPDATE promise SET hours = 721 WHERE id = :id"),
    "address_in_book": fault("max(id) FROM address", "UPDATE address SET n = 6 WHERE id = :id"),
    # -- groups and seats
    "group_seats_counted": fault(
        f"{PAID_IN_GROUP} = 'forming'",
        "UPDATE seat SET state = 'freed' WHERE id = :id",
        names="SELECT group_id FROM seat WHERE id = :id",
    ),
    "group_seat_within": fault(f"{PAID_IN_GROUP} = 'forming'", "UPDATE seat SET n = 7 WHERE id = :id"),
    "group_one_live": fault(
        f"{PAID_IN_GROUP} = 'forming'",
        f"UPDATE groupbuy SET state = 'forming', sku_id = (SELECT sku_id FROM groupbuy WHERE id = {GROUP_OF}) "
        f"WHERE id = (SELECT max(id) FROM groupbuy WHERE id <> {GROUP_OF})",
        twin("seat", group_id="(SELECT max(g.id) FROM groupbuy g WHERE g.id <> seat.group_id)"),
        names=PLANTED,
    ),
    "group_filled_full": fault(
        "id FROM groupbuy WHERE state = 'filled'", "UPDATE groupbuy SET size = size + 1 WHERE id = :id"
    ),
    "group_ended_dated": fault(
        "id FROM groupbuy WHERE state = 'filled'", "UPDATE groupbuy SET ended = NULL WHERE id = :id"
    ),
    "group_judged": fault(
        "id FROM groupbuy WHERE state = 'forming'", "UPDATE groupbuy SET deadline = :begun WHERE id = :id"
    ),
    "group_head_sits": fault(
        "id FROM groupbuy WHERE state = 'forming'",
        "UPDATE groupbuy SET head_id = (SELECT follower_id FROM staff WHERE role = 4) WHERE id = :id",
    ),
    "group_ends_for_all": fault(
        f"{PAID_IN_GROUP} = 'forming'",
        f"UPDATE groupbuy SET state = 'failed', ended = :begun WHERE id = {GROUP_OF}",
        names=f"SELECT {ORDER_OF}",
    ),
    "group_refund_true": fault(
        "max(id) FROM refund WHERE reason = 'late'", "UPDATE refund SET reason = 'group_failed' WHERE id = :id"
    ),
    "group_order_leaves_when_full": fault(
        f"{PAID_IN_GROUP} = 'forming'",
        f"UPDATE \"order\" SET state = 'shipped', paid_at = :begun WHERE id = {ORDER_OF}",
        names=f"SELECT {ORDER_OF}",
    ),
    "seat_has_order": fault(f"{PAID_IN_GROUP} = 'filled'", "UPDATE seat SET order_id = -1 WHERE id = :id"),
    "seat_follows_order": fault("id FROM seat WHERE state = 'held'", "UPDATE seat SET state = 'taken' WHERE id = :id"),
    "seat_paid_in_time": fault(
        f"{PAID_IN_GROUP} = 'failed'", f'UPDATE "order" SET paid_at = :now WHERE id = {ORDER_OF}'
    ),
    "order_forming_seated": fault(
        f"{PAID_IN_GROUP} = 'forming'", "UPDATE seat SET state = 'freed' WHERE id = :id", names=f"SELECT {ORDER_OF}"
    ),
    # -- cards
    "card_own_scan": fault(
        "max(id) FROM card_scan",
        "UPDATE card_scan SET follower_id = (SELECT follower_id FROM card WHERE id = card_scan.card_id) WHERE id = :id",
    ),
    "card_media_dated": fault("id FROM card WHERE media_id <> ''", "UPDATE card SET media_until = NULL WHERE id = :id"),
    # -- holds
    "hold_sums_to_stock_held": fault("id FROM sku WHERE held > 0", "UPDATE sku SET held = held + 1 WHERE id = :id"),
    "hold_matches_lines": fault(
        "max(id) FROM hold WHERE kind = 'stock'",
        "UPDATE hold SET quantity = quantity + 1 WHERE id = :id",
        names="SELECT l.id FROM order_line l JOIN hold h ON h.order_id = l.order_id AND h.thing = l.sku_id"
        " WHERE h.id = :id",
    ),
    "hold_kept_while_payable": fault(
        f"{ROW_OF_ORDER} = 'pending'", "UPDATE hold SET state = 'freed' WHERE order_id = :id"
    ),
    "hold_freed_if_closed": fault(f"{ROW_OF_ORDER} = 'closed'", "UPDATE hold SET state = 'taken' WHERE order_id = :id"),
    "hold_ends": fault("max(id) FROM hold WHERE state = 'held'", "UPDATE hold SET until = :begun WHERE id = :id"),
    "hold_outlives_attempt": fault(
        "h.id FROM hold h JOIN attempt a ON a.order_id = h.order_id WHERE h.state = 'held' AND a.state = 'live'",
        "UPDATE attempt SET expires = :later WHERE order_id = (SELECT order_id FROM hold WHERE id = :id)",
    ),
    "hold_follows_order": fault(f"{ROW_OF_ORDER} = 'shipped'", "UPDATE hold SET state = 'held' WHERE order_id = :id"),
    "hold_taken_if_paid": fault(f"{ROW_OF_ORDER} = 'shipped'", "UPDATE hold SET state = 'freed' WHERE order_id = :id"),
    # -- orders
    "order_lines_add_up": fault(
        f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET total_fen = total_fen + 1 WHERE id = :id'
    ),
    "order_discount_shared": fault(f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET discount_fen = 1 WHERE id = :id'),
    "order_moves_along_edges": fault(
        "id FROM order_move WHERE after = 'shipped'",
        "UPDATE order_move SET after = 'pending' WHERE id = :id",
        names="SELECT order_id FROM order_move WHERE id = :id",
    ),
    "order_moves_connected": fault(
        "max(id) FROM order_move WHERE before = 'shipped'",
        "UPDATE order_move SET before = 'forming' WHERE id = :id",
        names="SELECT order_id FROM order_move WHERE id = :id",
    ),
    "order_at_its_last_move": fault(
        f"{ROW_OF_ORDER} = 'completed'", "UPDATE \"order\" SET state = 'shipped' WHERE id = :id"
    ),
    "order_paid_dated": fault(f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET paid_at = NULL WHERE id = :id'),
    "order_unpaid_ends": fault(f"{ROW_OF_ORDER} = 'pending'", 'UPDATE "order" SET pay_until = :begun WHERE id = :id'),
    "order_closing_ends": fault(
        f"{ROW_OF_ORDER} = 'closed' AND closed_cause = 'buyer'",
        "UPDATE \"order\" SET state = 'closing', pay_until = :begun WHERE id = :id",
        "UPDATE order_move SET at = :begun WHERE order_id = :id",
    ),
    "order_closing_waits_for_somebody": fault(
        f"{ROW_OF_ORDER} = 'closed'", "UPDATE \"order\" SET state = 'closing' WHERE id = :id"
    ),
    "order_line_adds_up": fault(
        "max(id) FROM order_line", "UPDATE order_line SET amount_fen = amount_fen - 1 WHERE id = :id"
    ),
    "order_spare_goes_back": fault(f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET spare_fen = 1 WHERE id = :id'),
    "order_packed_if_shipped": fault(
        f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET packed_at = NULL WHERE id = :id'
    ),
    "parcel_of_its_order": fault(
        "max(id) FROM order_line WHERE parcel_id IS NOT NULL",
        "UPDATE parcel SET order_id = -1 WHERE id = (SELECT parcel_id FROM order_line WHERE id = :id)",
    ),
    "parcel_for_all_that_left": fault(
        f"{ROW_OF_ORDER} = 'shipped'", "UPDATE order_line SET parcel_id = NULL WHERE order_id = :id"
    ),
    "request_seen_before_it_leaves": fault(
        "max(id) FROM change_request",
        "UPDATE \"order\" SET state = 'shipped' WHERE id = (SELECT order_id FROM change_request WHERE id = :id)",
    ),
    "request_seen_with_an_end": fault(
        "max(id) FROM change_request", "UPDATE change_request SET outcome = 'granted' WHERE id = :id"
    ),
    "order_paid_in_full": fault(f"{ROW_OF_ORDER} = 'shipped'", "DELETE FROM payment WHERE order_id = :id"),
    "order_refunds_add_up": fault(f"{ROW_OF_ORDER} = 'shipped'", 'UPDATE "order" SET refunded_fen = 1 WHERE id = :id'),
    # -- attempts and payments
    "attempt_ends_with_order": fault(
        "a.id FROM attempt a JOIN \"order\" o ON o.id = a.order_id WHERE o.state = 'closed'",
        "UPDATE attempt SET state = 'live' WHERE id = :id",
    ),
    "attempt_ends_when_paid": fault(
        "id FROM attempt WHERE state = 'live' AND supplement_id IS NULL",
        'UPDATE "order" SET paid_at = :begun WHERE id = (SELECT order_id FROM attempt WHERE id = :id)',
    ),
    "attempt_has_its_payer": fault(
        "id FROM attempt WHERE state = 'live'", "UPDATE attempt SET way = 'jsapi', payer = NULL WHERE id = :id"
    ),
    "pay_token_used_in_time": fault("id FROM pay_token", "UPDATE pay_token SET used = until WHERE id = :id"),
    "attempt_one_open": fault(
        "id FROM attempt WHERE state = 'live'",
        twin("attempt", out_trade_no="'tp-another'"),
        names="SELECT order_id FROM attempt WHERE id = :id",
    ),
    "attempt_asked": fault(
        "id FROM attempt WHERE state = 'live'", "UPDATE attempt SET ask_next = :begun WHERE id = :id"
    ),
    "attempt_ends": fault("id FROM attempt WHERE state = 'live'", "UPDATE attempt SET expires = :begun WHERE id = :id"),
    "attempt_paid_in_money": fault(
        "id FROM attempt WHERE state = 'live'", "UPDATE attempt SET state = 'paid' WHERE id = :id"
    ),
    "payment_of_its_attempt": fault(
        "max(id) FROM payment", "UPDATE payment SET out_trade_no = 'tp-another' WHERE id = :id"
    ),
    "payment_matches_order": fault(
        "max(id) FROM payment WHERE state = 'credited'", "UPDATE payment SET amount_fen = amount_fen - 1 WHERE id = :id"
    ),
    "orphan_goes_back": fault(
        "id FROM payment WHERE state = 'orphan'", "UPDATE payment SET refund_reserved_fen = 0 WHERE id = :id"
    ),
    "closed_goes_back": fault(
        "p.id FROM payment p JOIN \"order\" o ON o.id = p.order_id WHERE o.state = 'closed' AND p.state = 'credited'",
        "UPDATE payment SET refund_reserved_fen = refund_reserved_fen - 1 WHERE id = :id",
    ),
    # -- what a change costs more
    "order_waits_for_its_supplement": fault(
        'id FROM "order" WHERE waits_until IS NOT NULL', 'UPDATE "order" SET waits_until = NULL WHERE id = :id'
    ),
    "supplement_holds_its_spec": fault(
        "id FROM supplement WHERE state = 'pending'",
        "UPDATE hold SET state = 'freed' WHERE kind = 'spec'"
        " AND order_id = (SELECT order_id FROM supplement WHERE id = :id)",
    ),
    "spec_held_for_its_supplement": fault(
        "id FROM hold WHERE kind = 'spec' AND state = 'freed'", "UPDATE hold SET state = 'held' WHERE id = :id"
    ),
    "supplement_of_its_order": fault("max(id) FROM supplement", "UPDATE supplement SET no = '' WHERE id = :id"),
    "supplement_ends": fault(
        "id FROM supplement WHERE state = 'pending'", "UPDATE supplement SET pay_until = :begun WHERE id = :id"
    ),
    "supplement_paid_once": fault(
        "id FROM supplement WHERE state = 'paid'", "UPDATE supplement SET state = 'closed' WHERE id = :id"
    ),
    "supplement_closing_waits_for_somebody": fault(
        "id FROM supplement WHERE state = 'paid'", "UPDATE supplement SET state = 'closing' WHERE id = :id"
    ),
    "attempt_of_its_supplement": fault(
        "max(id) FROM attempt WHERE supplement_id IS NOT NULL", "UPDATE attempt SET order_id = -1 WHERE id = :id"
    ),
    # -- refunds
    "refund_within_payment": fault(
        "max(id) FROM refund",
        "UPDATE refund SET amount_fen = amount_fen * 2 WHERE id = :id",
        names="SELECT payment_id FROM refund WHERE id = :id",
    ),
    "refund_at_most_fifty": fault(
        "max(id) FROM refund",
        *(twin("refund", id=str(NEW + n), seq=str(n), out_refund_no=f"'rf{n}'") for n in range(1, 51)),
        names="SELECT payment_id FROM refund WHERE id = :id",
    ),
    "refund_of_its_order": fault("max(id) FROM refund", "UPDATE refund SET order_id = order_id - 1 WHERE id = :id"),
    "refund_for_what_came": fault(
        "max(id) FROM refund WHERE reason = 'late'", "UPDATE refund SET reason = 'change' WHERE id = :id"
    ),
    "refund_of_all_ends_the_order": fault(
        "r.id FROM refund r JOIN \"order\" o ON o.id = r.order_id WHERE o.state <> 'closed'",
        "UPDATE refund SET reason = 'seller' WHERE id = :id",
    ),
    "refund_done_dated": fault(
        "id FROM refund WHERE state = 'done'", "UPDATE refund SET done_at = NULL WHERE id = :id"
    ),
    "refund_sums_to_reserved": fault(
        "max(id) FROM payment WHERE state = 'credited'",
        "UPDATE payment SET refund_reserved_fen = refund_reserved_fen + 1 WHERE id = :id",
    ),
    "refund_in_hand": fault("id FROM refund WHERE state = 'due'", "UPDATE refund SET next_try = :begun WHERE id = :id"),
    # -- money by hand
    "hand_money_has_a_taker": fault(
        "max(id) FROM payment WHERE state = 'credited'",
        "UPDATE payment SET source = 'hand', payer = 'staff:1' WHERE id = :id",
    ),
    "hand_money_passes_the_cashier_by": fault(
        "max(attempt_id) FROM payment", "UPDATE payment SET source = 'hand' WHERE attempt_id = :id"
    ),
    "hand_refund_is_never_asked_for": fault(
        "max(id) FROM refund",
        "UPDATE payment SET source = 'hand' WHERE id = (SELECT payment_id FROM refund WHERE id = :id)",
        "UPDATE refund SET state = 'asked', done_at = NULL WHERE id = :id",
    ),
    # -- after-sale
    "evidence_within": fault(
        "max(id) FROM aftersale_picture",
        *(twin("aftersale_picture", id=str(NEW + n), media_id=f"'m{n}'") for n in range(6)),
        names="SELECT case_id FROM aftersale_picture WHERE id = :id",
    ),
    "aftersale_one_open": fault(
        "id FROM aftersale WHERE state = 'applied'",
        twin("aftersale"),
        names="SELECT line_id FROM aftersale WHERE id = :id",
    ),
    "aftersale_of_its_order": fault(
        "max(id) FROM aftersale",
        "UPDATE aftersale SET follower_id = (SELECT follower_id FROM staff WHERE role = 4) WHERE id = :id",
    ),
    "aftersale_moves_along_edges": fault(
        "id FROM aftersale WHERE state = 'applied'",
        "UPDATE aftersale_move SET after = 'done' WHERE case_id = :id",
    ),
    "aftersale_answered": fault(
        "id FROM aftersale WHERE state = 'applied'", "UPDATE aftersale SET due_at = :begun WHERE id = :id"
    ),
    "aftersale_line_within_amount": fault(
        "line_id FROM aftersale WHERE state = 'done'",
        "UPDATE order_line SET amount_fen = 0 WHERE id = :id",
    ),
    "aftersale_money_owed": fault(
        "id FROM aftersale WHERE state = 'done'", "UPDATE aftersale SET amount_fen = amount_fen + 1 WHERE id = :id"
    ),
    "aftersale_done_kept": fault(
        "id FROM aftersale WHERE state = 'done'",
        "UPDATE refund SET state = 'asked' WHERE reason = 'aftersale' AND seq = :id",
    ),
    "aftersale_ends_with_its_money": fault(
        "id FROM aftersale WHERE state = 'done' AND kind <> 'resend'",
        "UPDATE aftersale SET state = 'refunding' WHERE id = :id",
        "UPDATE refund SET done_at = :begun WHERE reason = 'aftersale' AND seq = :id",
    ),
    "aftersale_ends_with_its_order": fault(
        "id FROM aftersale WHERE state = 'applied'",
        "UPDATE \"order\" SET state = 'closed' WHERE id = (SELECT order_id FROM aftersale WHERE id = :id)",
        "UPDATE order_move SET at = :begun WHERE order_id = (SELECT order_id FROM aftersale WHERE id = :id)",
    ),
    "freight_goes_back_once": fault(
        "max(id) FROM aftersale WHERE state = 'done' AND kind <> 'resend'",
        "UPDATE aftersale SET freight_fen = 100000 WHERE id = :id",
        names="SELECT order_id FROM aftersale WHERE id = :id",
    ),
    "aftersale_stays_here": fault(
        "max(id) FROM order_line WHERE parcel_id IS NOT NULL", "UPDATE order_line SET back_at = :now WHERE id = :id"
    ),
    # -- the ledger
    "ledger_sums_to_zero": fault(
        "id FROM ledger WHERE account = 'sales'",
        "UPDATE ledger SET amount_fen = amount_fen + 1 WHERE id = :id",
        names="SELECT txn FROM ledger WHERE id = :id",
    ),
    "ledger_accounts_known": fault("max(id) FROM ledger", "UPDATE ledger SET account = 'pocket' WHERE id = :id"),
    "ledger_tells_orders": fault(f"{ROW_OF_ORDER} = 'shipped'", "DELETE FROM ledger WHERE order_id = :id"),
    "ledger_links_in_turn": fault("max(n) FROM ledger_link", "DELETE FROM ledger_link WHERE n = :id - 1"),
    "ledger_sealed": fault(
        "entry_id FROM ledger_link ORDER BY n DESC",
        "DELETE FROM ledger_link WHERE entry_id = :id",
        "UPDATE ledger SET at = :begun WHERE id = :id",
    ),
    "ledger_chain_verifies": fault(
        "n FROM ledger_link ORDER BY n",
        "UPDATE ledger SET amount_fen = amount_fen + 1 WHERE id = (SELECT entry_id FROM ledger_link WHERE n = :id)",
    ),
    "ledger_cash_is_payments_less_refunds": fault(
        "max(id) FROM payment WHERE state = 'credited'",
        "UPDATE ledger SET account = 'orphan' WHERE payment_id = :id AND account = 'cash'",
    ),
    "ledger_orphans_are_owed_back": fault(
        "id FROM payment WHERE state = 'orphan'",
        "UPDATE ledger SET amount_fen = amount_fen - 1"
        " WHERE payment_id = :id AND account = 'orphan' AND side = 'credit'",
    ),
    "ledger_payable_is_refunds_under_way": fault(
        "id FROM refund WHERE state = 'due'", "UPDATE refund SET state = 'done' WHERE id = :id"
    ),
    # -- what may be pushed
    "quarantine_holds_pushes": fault(
        "max(id) FROM outbox WHERE kind = 'push'",
        "INSERT INTO tick (name, slot) VALUES ('restored', 1)",
        "UPDATE outbox SET state = 'leased' WHERE id = :id",
    ),
    "subscription_asked": fault(
        "max(id) FROM subscription WHERE state = 'live'",
        "UPDATE subscription SET topic = 'nobody asked' WHERE id = :id",
    ),
    "subscription_left_dated": fault(
        "max(id) FROM subscription WHERE state = 'left'", "UPDATE subscription SET left_at = NULL WHERE id = :id"
    ),
    "push_asked": fault(
        "max(id) FROM outbox WHERE kind = 'push'",
        "UPDATE consent SET act = 'weekly' WHERE follower_id = (SELECT follower_id FROM outbox WHERE id = :id)",
    ),
    "push_not_left": fault(
        "max(id) FROM outbox WHERE kind = 'push'",
        "INSERT INTO consent (id, follower_id, at, act, topic, words, key)"
        f" SELECT {NEW}, follower_id, due, 'leave_all', '', '退订', '' FROM outbox WHERE id = :id",
        "UPDATE outbox SET done_at = :now WHERE id = :id",
    ),
    "push_once_each": fault("max(id) FROM outbox WHERE kind = 'push'", twin("outbox", key="'again'"), names=PLANTED),
    "campaign_says_something": fault("max(id) FROM campaign", "UPDATE campaign SET text = '' WHERE id = :id"),
    "campaign_on_time": fault(
        "id FROM campaign WHERE state = 'planned'", "UPDATE campaign SET due = :begun WHERE id = :id"
    ),
    "campaign_counts_its_pushes": fault(
        "max(id) FROM campaign", "UPDATE campaign SET reached = reached + 1 WHERE id = :id"
    ),
    "campaign_ended_dated": fault(
        "id FROM campaign WHERE state = 'done'", "UPDATE campaign SET done_at = NULL WHERE id = :id"
    ),
    "campaign_cancelled_is_silent": fault(
        "max(id) FROM outbox WHERE kind = 'push'",
        "UPDATE campaign SET state = 'cancelled' WHERE id = (SELECT campaign_id FROM outbox WHERE id = :id)",
        "UPDATE outbox SET state = 'due' WHERE id = :id",
    ),
}


# -- where they are planted ------------------------------------------------------------------------------


async def bare(lived: Lived, folder: Path, postgres: Postgres) -> str:
    """The URL of a copy of the lived-in shop that keeps nobody from writing nonsense."""
    if lived.url.startswith("sqlite"):
        file = folder / "bare.db"
        with sqlite3.connect(file) as copy:
            copy.execute("ATTACH ? AS lived", (lived.url.removeprefix("sqlite:///"),))
            for name in tables.metadata.tables:
                copy.execute(f'CREATE TABLE "{name}" AS SELECT * FROM lived."{name}"')
        return f"sqlite:///{file}"
    url = await copied(lived.url, folder, postgres)
    store = Store(url)
    async with store.engine.begin() as connection:
        for one in (
            "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u') ORDER BY contype = 'u'",
            "SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index JOIN pg_class c ON c.oid = indrelid"
            " WHERE relnamespace = 'public'::regnamespace AND indisunique AND NOT indisprimary",
            "SELECT format('ALTER TABLE %I DISABLE TRIGGER USER', tablename) FROM pg_tables"
            " WHERE schemaname = 'public'",
        ):
            for (statement,) in (await connection.execute(text(one))).all():
                await connection.execute(text(statement))
    await store.close()
    return url


@pytest.fixture(scope="session", params=KINDS)
async def books(
    request: pytest.FixtureRequest, blank: Blank, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Store, Lived]]:
    """The lived-in shop without keys, checks and triggers."""
    lived = await lived_in(request.param, blank, postgres)
    store = Store(await bare(lived, tmp_path_factory.mktemp("bare"), postgres))
    yield store, lived
    await store.close()


async def ask(connection: AsyncConnection, sql: str, lived: Lived, id: Any) -> list[Any]:
    moments = {"now": lived.now, "begun": lived.now - AGO, "later": lived.now + timedelta(days=1)}
    given: dict[str, Any] = {"id": id} | moments
    wanted = {name: value for name, value in given.items() if f":{name}" in sql}
    timed = [bindparam(name, type_=Moment()) for name in moments if name in wanted]
    result = await connection.execute(text(sql).bindparams(*timed), wanted)
    return [row[0] for row in result] if result.returns_rows else []


async def plant(connection: AsyncConnection, one: Fault, lived: Lived) -> set[Any]:
    """Spoil a row; what the invariant has to name."""
    picked = [id for id in await ask(connection, one.pick, lived, None) if id is not None]
    assert picked, f"the lived-in shop has no row to spoil: {one.pick}"
    for act in one.acts:
        await ask(connection, act, lived, picked[0])
    return set(await ask(connection, one.names, lived, picked[0])) if one.names else {picked[0]}


# -- the tests -------------------------------------------------------------------------------------------

KNOWN = {invariant.name: invariant for _, invariant in tables.invariants()}
THROUGH = {invariant.name: read for invariant, read in ledger.READ_THROUGH}  # read row by row
KNOWN |= {invariant.name: invariant for invariant, _ in ledger.READ_THROUGH}


async def found_by(connection: AsyncConnection, name: str, at: datetime) -> set[Any]:
    """What an invariant names at a moment."""
    if read := THROUGH.get(name):
        return set(await read(await connection.stream(KNOWN[name].statement)))
    return set(await breaking(connection, KNOWN[name], at))


def test_every_invariant_has_a_planted_fault_and_every_fault_an_invariant() -> None:
    assert set(FAULTS) == set(KNOWN)


async def test_a_shop_that_has_lived_breaks_nothing(books: tuple[Store, Lived]) -> None:
    """And time alone breaks only what may be late for a while."""
    store, lived = books
    assert await offenders(store, lived.now) == []
    assert all(i.grace_minutes is not None for _, i, _ in await offenders(store, lived.now + timedelta(days=7)))


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_a_planted_fault_is_found_and_named(books: tuple[Store, Lived], name: str) -> None:
    """And one that is younger than its grace is not: what is late by a moment is nobody's alarm yet."""
    store, lived = books
    invariant = KNOWN[name]
    moments = [lived.now]
    if invariant.grace_minutes is not None:
        ends = lived.now - AGO + timedelta(minutes=invariant.grace_minutes)
        moments = [ends - MINUTE, ends + MINUTE]
    async with store.engine.connect() as connection:
        before = [await found_by(connection, name, at) for at in moments]
        wanted = await plant(connection, FAULTS[name], lived)
        after = [await found_by(connection, name, at) for at in moments]
        await connection.rollback()
    found = [now - then for now, then in zip(after, before, strict=True)]
    assert found[-1] == wanted
    assert not any(found[:-1])


@pytest.mark.parametrize("kind", KINDS)
async def test_verify_names_every_broken_invariant_with_what_broke_it(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    lived = await lived_in(kind, blank, postgres)
    spoilt = ("talk_number", "group_seats_counted", "order_refunds_add_up")
    async with copy_of(lived, tmp_path, postgres) as store:
        wanted = {}
        async with store.engine.begin() as connection:
            for name in spoilt:
                wanted[name] = await plant(connection, FAULTS[name], lived)
        found = {i.name: (module, set(ids)) for module, i, ids in await offenders(store, lived.now)}
    assert {name: found[name][1] for name in spoilt} == wanted
    assert found["talk_number"][0] == "models.talk"


@pytest.mark.parametrize("kind", KINDS)
async def test_verify_waits_for_nobody_and_nobody_for_it(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    """It reads beside a transaction that is open, and does not see half of it."""
    lived = await lived_in(kind, blank, postgres)
    async with copy_of(lived, tmp_path, postgres) as store:
        other = Store(str(store.engine.url.render_as_string(hide_password=False)))
        async with store.session() as session, session.begin():
            await session.execute(text("UPDATE talk SET number = -1"))
            assert await offenders(other, lived.now) == []
        assert {i.name for _, i, _ in await offenders(other, lived.now)} == {"talk_number"}
        await other.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_verify_sees_one_moment_and_can_change_nothing(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed between two of its questions is no contradiction: it reads in one snapshot."""
    lived = await lived_in(kind, blank, postgres)
    usual, begun = verify.breaking, []
    async with copy_of(lived, tmp_path, postgres) as store:
        other = Store(str(store.engine.url.render_as_string(hide_password=False)))

        async def breaking(connection: AsyncConnection, *more: Any) -> list[Any]:
            found = await usual(connection, *more)
            if not begun:
                begun.append(1)
                async with other.session() as session, session.begin():
                    await session.execute(text("UPDATE talk SET number = -1"))
                if not store.sqlite:
                    assert (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on"
            return found

        monkeypatch.setattr(verify, "breaking", breaking)
        assert await offenders(store, lived.now) == []
        assert {i.name for _, i, _ in await offenders(store, lived.now)} == {"talk_number"}
        await other.close()

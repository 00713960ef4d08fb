"""Trusted keys and the balances behind them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, bindparam, cast, func, literal, select

from hivemark.coordinator.ports import TrustedKey
from hivemark.coordinator.store import ledger, rows
from hivemark.coordinator.store.database import Database
from hivemark.coordinator.store.tables import accounts, hives, jobs, trusted_keys
from hivemark.credits import book
from hivemark.errors import NotFoundError

_ONE: Final = select(*rows.TRUSTED_KEY).where(trusted_keys.c.public_key == bindparam("wanted"))
_ALL: Final = select(*rows.TRUSTED_KEY).order_by(trusted_keys.c.added_ms, trusted_keys.c.public_key)


class SqlKeys:
    """`ports.KeyStore`."""

    _db: Database

    def trust(self, key: TrustedKey, *, grant_micro: int) -> None:
        def operation(connection: Connection) -> None:
            values = {"account": key.account, "key_id": key.key_id, "status": key.status, "revoked_ms": None}
            mine = trusted_keys.c.public_key == key.public_key
            if not connection.execute(trusted_keys.update().where(mine).values(values)).rowcount:
                connection.execute(
                    trusted_keys.insert().values(public_key=key.public_key, added_ms=key.added_ms, **values)
                )
            _grant(connection, key, grant_micro)

        self._db.write(operation)

    def trusted_key(self, public_key: str) -> TrustedKey | None:
        row = self._db.read(lambda c: c.execute(_ONE, {"wanted": public_key}).one_or_none())
        return rows.trusted_key(row) if row is not None else None

    def trusted_keys(self) -> Sequence[TrustedKey]:
        return [rows.trusted_key(row) for row in self._db.read(lambda c: c.execute(_ALL).all())]

    def untrust(self, public_key: str, *, now_ms: int) -> None:
        def operation(connection: Connection) -> None:
            found = connection.execute(
                trusted_keys.update()
                .where(trusted_keys.c.public_key == public_key)
                .values(status="revoked", revoked_ms=now_ms)
            )
            if not found.rowcount:
                raise NotFoundError("no such trusted key", code="unknown_key")

        self._db.write(operation)

    def balance(self, account: str) -> tuple[int, int, int]:
        escrow = select(literal("escrow:") + jobs.c.id).where(jobs.c.account == account)
        pending = select(literal("pending:") + hives.c.id).where(hives.c.owner == account)

        def operation(connection: Connection) -> tuple[int, int, int]:
            own = select(accounts.c.balance_micro).where(accounts.c.id == account)
            return (
                connection.execute(own).scalar_one_or_none() or 0,
                connection.execute(_sum_of(accounts.c.id.in_(escrow))).scalar_one(),
                connection.execute(_sum_of(accounts.c.id.in_(pending))).scalar_one(),
            )

        return self._db.read(operation)


def _grant(connection: Connection, key: TrustedKey, grant_micro: int) -> None:
    booking_key = f"grant:{key.public_key}"
    if grant_micro == 0 or ledger.is_booked(connection, booking_key):
        return
    ledger.post(
        connection,
        (book.TREASURY, key.account),
        lambda known: book.mint(
            known, key.account, grant_micro, key=booking_key, authority="operator", tick_ms=key.added_ms
        ),
    )


def _sum_of(condition: ColumnElement[bool]) -> Select[int]:
    return select(cast(func.coalesce(func.sum(accounts.c.balance_micro), 0), BigInteger)).where(condition)

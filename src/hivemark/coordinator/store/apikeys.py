"""API keys and their budgets.

What a job may cost is added to its key's `spent_micro` when it is submitted, and what it did not cost is
taken off again when its cells end: `spend` and `give_back` run inside those transactions. Lock order: after
the job's rows, before the book's head.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, or_, select

from hivemark.coordinator.ports import ApiKey
from hivemark.coordinator.store import rows
from hivemark.coordinator.store.database import Database
from hivemark.coordinator.store.tables import api_keys
from hivemark.credits.price import format_credits
from hivemark.errors import HivemarkError, PaymentRequiredError, UnauthenticatedError

_BY_ID: Final = select(*rows.API_KEY).where(api_keys.c.id == bindparam("wanted"))
_BY_TOKEN: Final = select(*rows.API_KEY).where(api_keys.c.token_sha256 == bindparam("digest"))
_REVOKE: Final = (
    api_keys.update()
    .where(api_keys.c.id == bindparam("wanted"), api_keys.c.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("at_ms"))
)
_TOUCH: Final = (
    api_keys.update()
    .where(
        api_keys.c.id == bindparam("wanted"),
        or_(api_keys.c.last_used_ms.is_(None), api_keys.c.last_used_ms < bindparam("at_ms")),
    )
    .values(last_used_ms=bindparam("at_ms"))
)
_SPEND: Final = (
    api_keys.update()
    .where(
        api_keys.c.id == bindparam("wanted"),
        api_keys.c.revoked_ms.is_(None),
        or_(api_keys.c.expires_ms.is_(None), api_keys.c.expires_ms > bindparam("at_ms")),
        or_(
            api_keys.c.budget_micro.is_(None),
            api_keys.c.spent_micro + bindparam("amount") <= api_keys.c.budget_micro,
        ),
    )
    .values(spent_micro=api_keys.c.spent_micro + bindparam("amount"))
)
_GIVE_BACK: Final = (
    api_keys.update()
    .where(api_keys.c.id == bindparam("wanted"))
    .values(spent_micro=api_keys.c.spent_micro - bindparam("amount"))
)


class SqlApiKeys:
    """`ports.ApiKeyStore`."""

    _db: Database

    def add_api_key(self, key: ApiKey, *, token_sha256: str) -> None:
        row = rows.api_key_values(key) | {"token_sha256": token_sha256}
        self._db.write(lambda connection: connection.execute(api_keys.insert(), row))

    def api_key(self, key_id: str) -> ApiKey | None:
        row = self._db.read(lambda c: c.execute(_BY_ID, {"wanted": key_id}).one_or_none())
        return rows.api_key(row) if row is not None else None

    def api_key_of_token(self, token_sha256: str) -> ApiKey | None:
        row = self._db.read(lambda c: c.execute(_BY_TOKEN, {"digest": token_sha256}).one_or_none())
        return rows.api_key(row) if row is not None else None

    def api_keys(self, *, account: str | None, before: str | None, limit: int) -> Sequence[ApiKey]:
        wanted = select(*rows.API_KEY).order_by(api_keys.c.id.desc()).limit(limit)
        if account is not None:
            wanted = wanted.where(api_keys.c.account == account)
        if before is not None:
            wanted = wanted.where(api_keys.c.id < before)
        return [rows.api_key(row) for row in self._db.read(lambda c: c.execute(wanted).all())]

    def revoke_api_key(self, key_id: str, *, now_ms: int) -> None:
        self._db.write(lambda c: c.execute(_REVOKE, {"wanted": key_id, "at_ms": now_ms}).rowcount)

    def touch_api_key(self, key_id: str, *, now_ms: int) -> None:
        values = {"wanted": key_id, "at_ms": now_ms}
        self._db.write(lambda c: c.execute(_TOUCH, values).rowcount, durable=False)


def spend(connection: Connection, key_id: str, amount_micro: int, *, now_ms: int) -> None:
    """Count a hold against the key's budget, if the key stands and the budget covers it."""
    values = {"wanted": key_id, "amount": amount_micro, "at_ms": now_ms}
    if connection.execute(_SPEND, values).rowcount != 1:
        row = connection.execute(_BY_ID, {"wanted": key_id}).one_or_none()
        raise _refusal(rows.api_key(row) if row is not None else None, amount_micro, now_ms)


def give_back(connection: Connection, key_id: str | None, amount_micro: int) -> None:
    """What a hold of this key did not cost; nothing without a key."""
    if key_id is not None and amount_micro:
        found = connection.execute(_GIVE_BACK, {"wanted": key_id, "amount": amount_micro})
        assert found.rowcount == 1, "keys are revoked, never deleted"


def _refusal(key: ApiKey | None, amount_micro: int, now_ms: int) -> HivemarkError:
    if key is None or key.revoked_ms is not None:
        return UnauthenticatedError("this API key was revoked", code="api_key_revoked")
    if key.expires_ms is not None and key.expires_ms <= now_ms:
        return UnauthenticatedError("this API key has expired", code="api_key_expired")
    assert key.budget_micro is not None, "only a budget refuses now"
    left_micro = key.budget_micro - key.spent_micro
    return PaymentRequiredError(
        f"this may cost {format_credits(amount_micro)} credits, of the API key's budget of "
        f"{format_credits(key.budget_micro)} {format_credits(left_micro)} are left",
        code="budget_exhausted",
        hint="lower max_tokens, wait for what runs to be settled, or make a key with a larger budget",
    )

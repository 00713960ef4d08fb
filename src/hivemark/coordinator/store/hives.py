"""Machines: join tokens, enrolment, sessions by epoch, offers."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Update, bindparam, select

from hivemark.coordinator.ports import HiveModel, HiveRow, NewLogEntry, StateMoved
from hivemark.coordinator.store import rows
from hivemark.coordinator.store.database import AnyRow, Database
from hivemark.coordinator.store.log import queue_entry
from hivemark.coordinator.store.tables import hive_models, hives, join_tokens
from hivemark.errors import ForbiddenError, NotFoundError

_ONE: Final = select(*rows.HIVE).where(hives.c.id == bindparam("wanted"))
_MODELS: Final = (
    select(hive_models.c.hive, *rows.HIVE_MODEL)
    .where(hive_models.c.hive == bindparam("wanted"))
    .order_by(hive_models.c.position)
)
_ALL: Final = select(*rows.HIVE).order_by(hives.c.enrolled_ms, hives.c.id)
_ALL_MODELS: Final = select(hive_models.c.hive, *rows.HIVE_MODEL).order_by(
    hive_models.c.hive, hive_models.c.position
)
_CONTACT: Final = (
    hives.update()
    .where(hives.c.id == bindparam("wanted"), hives.c.epoch == bindparam("at_epoch"))
    .values(last_contact_ms=bindparam("at_ms"), linked=True)
)


class SqlHives:
    """`ports.HiveStore`."""

    _db: Database

    def add_join_token(self, token_sha256: str, *, owner: str, until_ms: int) -> None:
        row = {"token_sha256": token_sha256, "owner": owner, "until_ms": until_ms}
        self._db.write(lambda connection: connection.execute(join_tokens.insert(), row).rowcount)

    def enrol(self, hive: HiveRow, *, token_sha256: str, now_ms: int, log: NewLogEntry) -> HiveRow:
        def operation(connection: Connection) -> HiveRow:
            owner = _spend_token(connection, token_sha256, hive=hive.id, now_ms=now_ms)
            known = load_hive(connection, hive.id)
            if known is not None:
                require_active(known)
                return known
            connection.execute(hives.insert(), _new_hive(hive, owner))
            _replace_models(connection, hive.id, hive.models)
            queue_entry(connection, log, now_ms=now_ms)
            return require_hive(connection, hive.id)

        return self._db.write(operation)

    def hive(self, hive_id: str) -> HiveRow | None:
        return self._db.read(lambda connection: load_hive(connection, hive_id))

    def hives(self) -> Sequence[HiveRow]:
        def operation(connection: Connection) -> Sequence[HiveRow]:
            models = _by_hive(connection.execute(_ALL_MODELS).all())
            return [rows.hive_row(row, models.get(row[0], [])) for row in connection.execute(_ALL)]

        return self._db.read(operation)

    def open_session(self, hive: str, *, session_sha256: str, address: str | None, now_ms: int) -> int:
        opened = (
            hives.update()
            .where(hives.c.id == hive, hives.c.status == "active")
            .values(
                epoch=hives.c.epoch + 1,
                session_sha256=session_sha256,
                address=address,
                linked=True,
                last_contact_ms=now_ms,
            )
            .returning(hives.c.epoch)
        )

        def operation(connection: Connection) -> int:
            epoch = connection.execute(opened).scalar_one_or_none()
            if epoch is None:
                require_active(require_hive(connection, hive))
                raise StateMoved(f"hive {hive} changed while its link opened", code="hive_moved")
            return int(epoch)

        return self._db.write(operation)

    def close_session(self, hive: str, *, epoch: int, now_ms: int) -> None:  # noqa: ARG002 - the port's
        closed = _at_epoch(hive, epoch).values(linked=False, session_sha256=None)
        self._db.write(lambda connection: connection.execute(closed).rowcount)

    def offer(
        self,
        hive: str,
        *,
        epoch: int,
        name: str,
        region: str | None,
        slots: int,
        models: Sequence[HiveModel],
        devices: Sequence[str],
        simulated: Sequence[str],
        now_ms: int,
    ) -> None:
        changed = _at_epoch(hive, epoch).values(
            name=name,
            region=region,
            slots=slots,
            devices=rows.json_text(devices),
            simulated=rows.json_text(simulated),
            last_contact_ms=now_ms,
        )

        def operation(connection: Connection) -> None:
            if connection.execute(changed).rowcount != 1:
                raise epoch_stale(hive)
            _replace_models(connection, hive, models)

        self._db.write(operation)

    def contact(self, hive: str, *, epoch: int, now_ms: int) -> bool:
        values = {"wanted": hive, "at_epoch": epoch, "at_ms": now_ms}
        return self._db.write(lambda c: c.execute(_CONTACT, values).rowcount == 1, durable=False)

    def set_draining(self, hive: str, on: bool) -> None:
        def operation(connection: Connection) -> None:
            changed = hives.update().where(hives.c.id == hive).values(draining=on)
            if not connection.execute(changed).rowcount:
                raise _unknown(hive)

        self._db.write(operation)

    def revoke_hive(self, hive: str, *, now_ms: int, log: NewLogEntry) -> None:
        def operation(connection: Connection) -> None:
            revoked = (
                hives.update()
                .where(hives.c.id == hive, hives.c.status == "active")
                .values(status="revoked", linked=False, session_sha256=None, epoch=hives.c.epoch + 1)
            )
            if connection.execute(revoked).rowcount:
                queue_entry(connection, log, now_ms=now_ms)
            else:
                require_hive(connection, hive)  # revoked before: nothing to do

        self._db.write(operation)


def load_hive(connection: Connection, hive: str) -> HiveRow | None:
    row = connection.execute(_ONE, {"wanted": hive}).one_or_none()
    if row is None:
        return None
    models = connection.execute(_MODELS, {"wanted": hive}).all()
    return rows.hive_row(row, [rows.hive_model(model[1:]) for model in models])


def require_hive(connection: Connection, hive: str) -> HiveRow:
    found = load_hive(connection, hive)
    if found is None:
        raise _unknown(hive)
    return found


def require_active(hive: HiveRow) -> None:
    if hive.status != "active":
        raise ForbiddenError(f"hive {hive.id} was revoked", code="hive_revoked")


def epoch_stale(hive: str) -> StateMoved:
    return StateMoved(f"hive {hive} has a newer link", code="epoch_stale")


def _unknown(hive: str) -> NotFoundError:
    return NotFoundError(f"no hive {hive}", code="unknown_hive")


def _at_epoch(hive: str, epoch: int) -> Update:
    return hives.update().where(hives.c.id == hive, hives.c.epoch == epoch)


def _spend_token(connection: Connection, token_sha256: str, *, hive: str, now_ms: int) -> str:
    """The token's owner; a token serves one hive, which may repeat a request whose answer it lost."""
    token = connection.execute(
        select(join_tokens.c.owner, join_tokens.c.until_ms, join_tokens.c.hive)
        .where(join_tokens.c.token_sha256 == token_sha256)
        .with_for_update()
    ).one_or_none()
    if token is None or token.until_ms < now_ms or token.hive not in (None, hive):
        raise ForbiddenError(
            "this join link is unknown, used or too old",
            code="join_token_invalid",
            hint="make a new one with `hivemark hives link`",
        )
    connection.execute(
        join_tokens.update().where(join_tokens.c.token_sha256 == token_sha256).values(hive=hive)
    )
    return str(token.owner)


def _new_hive(hive: HiveRow, owner: str) -> dict[str, object]:
    row: dict[str, object] = {column.name: getattr(hive, column.name) for column in rows.HIVE}
    lists = {"devices": rows.json_text(hive.devices), "simulated": rows.json_text(hive.simulated)}
    return row | lists | {"owner": owner}


def _replace_models(connection: Connection, hive: str, models: Sequence[HiveModel]) -> None:
    connection.execute(hive_models.delete().where(hive_models.c.hive == hive))
    if models:
        names = [column.name for column in rows.HIVE_MODEL]
        connection.execute(
            hive_models.insert(),
            [
                {"hive": hive, "position": position, **{name: getattr(model, name) for name in names}}
                for position, model in enumerate(models)
            ],
        )


def _by_hive(found: Sequence[AnyRow]) -> dict[str, list[HiveModel]]:
    models: dict[str, list[HiveModel]] = {}
    for row in found:
        models.setdefault(row[0], []).append(rows.hive_model(row[1:]))
    return models

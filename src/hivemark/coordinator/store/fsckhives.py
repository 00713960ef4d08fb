"""The hives' part of `hivemark fsck`: the table of hives against the enrolments in the log."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from hivemark.coordinator.ports import HiveRow
from hivemark.coordinator.store.database import AnyRow
from hivemark.coordinator.store.fsck import Progress, no_progress
from hivemark.coordinator.store.log import ADOPTED
from hivemark.coordinator.store.store import SqlStore
from hivemark.coordinator.store.tables import log_entries, log_rows
from hivemark.errors import HivemarkError
from hivemark.protocol.enrolment import Enrolment, verify_enrolment
from hivemark.protocol.entry import EnrolmentEntry, parse_entry
from hivemark.protocol.keys import PublicKey

PAGE_ROWS: Final = 500
PROBLEMS_MAX: Final = 100

_OF_NO_ATTEMPT: Final = log_rows.c.attempt.is_(None)
_COUNT: Final = select(func.count()).select_from(log_rows).where(_OF_NO_ATTEMPT)
_PAGE: Final = (
    select(log_rows.c.id, log_rows.c.leaf, log_entries.c.idx)
    .select_from(log_rows.outerjoin(log_entries, log_entries.c.row_id == log_rows.c.id))
    .where(_OF_NO_ATTEMPT, log_rows.c.id > bindparam("after"))
    .order_by(log_rows.c.id)
    .limit(PAGE_ROWS)
)

_Place = tuple[bool, int, str]
"""Where an enrolment stands: by index, and what has none yet after all that have one."""
_Told = dict[str, list[tuple[_Place, Enrolment]]]


def check_enrolments(
    store: SqlStore, *, network: str, service_key: PublicKey, progress: Progress = no_progress
) -> list[str]:
    """Each enrolment in the log is signed by the service key and about a hive in the table; each hive has
    its `enrolled`, and is revoked exactly if the log's last word says so. At most 100 problems."""
    return list(islice(_problems(store, network, service_key, progress), PROBLEMS_MAX))


def _problems(store: SqlStore, network: str, service_key: PublicKey, progress: Progress) -> Iterator[str]:
    """The hives are read twice, since some may join beside it: who was there before has to be in the log,
    and who is in the log has to be there afterwards."""
    before = store.hives()
    total = store.database.read(lambda connection: connection.execute(_COUNT).scalar_one())
    told: _Told = {}
    done, after = 0, ""
    while page := store.database.read(partial(_page, after)):
        progress("enrolments", done, total)
        for row in page:
            yield from _read(row, network, service_key, told)
        done, after = done + len(page), page[-1].id
    progress("enrolments", done, done)
    for hive in before:
        yield from _of_hive(hive, told.get(hive.id, []))
    yield from _of_told(told, {hive.id: hive for hive in store.hives()})


def _page(after: str, connection: Connection) -> Sequence[AnyRow]:
    return connection.execute(_PAGE, {"after": after}).all()


def _read(row: AnyRow, network: str, service_key: PublicKey, told: _Told) -> Iterator[str]:
    """Notes what an enrolment says. Adopted rows of attempts lost their attempt and are none of ours."""
    try:
        entry = parse_entry(row.leaf)
        if not isinstance(entry, EnrolmentEntry):
            if not row.id.startswith(ADOPTED):
                yield f"log row {row.id}: belongs to no attempt and is no enrolment"
            return
        enrolment = verify_enrolment(entry.enrolment.raw, service_key)
    except HivemarkError as error:
        yield f"log row {row.id}: its enrolment does not hold: {error}"
        return
    if enrolment.network != network:
        yield f"log row {row.id}: its enrolment is of network {enrolment.network}"
        return
    place = (row.idx is None, row.idx or 0, row.id)
    told.setdefault(enrolment.hive.id, []).append((place, enrolment))


def _of_hive(hive: HiveRow, told: Sequence[tuple[_Place, Enrolment]]) -> Iterator[str]:
    events = {enrolment.event for _, enrolment in told}
    if "enrolled" not in events:
        yield f"hive {hive.id}: its enrolment is not in the log"
    if hive.status == "revoked" and "revoked" not in events:
        yield f"hive {hive.id}: is revoked, the log does not say so"


def _of_told(told: _Told, hives: Mapping[str, HiveRow]) -> Iterator[str]:
    for hive_id, statements in told.items():
        hive = hives.get(hive_id)
        place, last = max(statements, key=lambda statement: statement[0])
        if hive is None:
            if not place[2].startswith(ADOPTED):  # the database is older than the log: the hive joins again
                yield f"hive {hive_id}: was {last.event} in log row {place[2]}, the database does not know it"
            continue
        if hive.public_key != last.hive.public_key:
            yield f"hive {hive_id}: has another key than the log says"
        if hive.status == "active" and last.event == "revoked":
            yield f"hive {hive_id}: is active, the log says that it was revoked"

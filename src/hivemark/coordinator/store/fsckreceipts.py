"""The receipts' part of `hivemark fsck`: attempts against their log entries and their blobs."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from hivemark.coordinator.ports import BlobStore, LogRow
from hivemark.coordinator.store.database import AnyRow
from hivemark.coordinator.store.fsck import Progress, no_progress
from hivemark.coordinator.store.log import FULL_ROW, log_row
from hivemark.coordinator.store.store import SqlStore
from hivemark.coordinator.store.tables import attempts, log_entries, log_rows
from hivemark.errors import HivemarkError
from hivemark.protocol.commitment import SALT_BYTES
from hivemark.protocol.entry import AttemptEntry, encode_private, parse_entry

PAGE_ROWS: Final = 500
PROBLEMS_MAX: Final = 100

_ACCEPTED: Final = attempts.c.outcome == "accepted"
_COUNT: Final = select(func.count()).select_from(attempts).where(_ACCEPTED)
_PAGE: Final = (
    select(
        *FULL_ROW.selected_columns,
        attempts.c.id.label("of_attempt"),
        attempts.c.receipt,
        attempts.c.receipt_sha256,
        attempts.c.disclosure,
    )
    .select_from(
        attempts.join(log_rows, log_rows.c.id == attempts.c.log_entry).outerjoin(
            log_entries, log_entries.c.row_id == log_rows.c.id
        )
    )
    .where(_ACCEPTED, attempts.c.id > bindparam("after"))
    .order_by(attempts.c.id)
    .limit(PAGE_ROWS)
)


def check_receipts(store: SqlStore, blobs: BlobStore, *, progress: Progress = no_progress) -> list[str]:
    """Each accepted attempt: its receipt has its digest and stands in its log entry, the entry is what its
    leaf commits to, the blob that opens it is there and whole. At most 100 problems."""
    return list(islice(_problems(store, blobs, progress), PROBLEMS_MAX))


def _problems(store: SqlStore, blobs: BlobStore, progress: Progress) -> Iterator[str]:
    total = store.database.read(lambda connection: connection.execute(_COUNT).scalar_one())
    done, after = 0, ""
    while page := store.database.read(partial(_page, after)):
        progress("receipts", done, total)
        for row in page:
            for problem in _of_attempt(row, log_row(row), blobs):
                yield f"attempt {row.of_attempt}: {problem}"
        done, after = done + len(page), page[-1].of_attempt
    progress("receipts", done, total)


def _page(after: str, connection: Connection) -> Sequence[AnyRow]:
    return connection.execute(_PAGE, {"after": after}).all()


def _of_attempt(attempt: AnyRow, row: LogRow, blobs: BlobStore) -> Iterator[str]:
    if hashlib.sha256(attempt.receipt).hexdigest() != attempt.receipt_sha256:
        yield "the receipt does not have its digest"
    yield from _of_entry(attempt.receipt, row)
    if attempt.disclosure is not None:
        yield from _of_blob(attempt.disclosure, blobs)


def _of_entry(receipt: bytes, row: LogRow) -> Iterator[str]:
    if row.entry is None:
        return  # adopted from the tiles of a newer log: what it committed to is gone, and said so in `log`
    try:
        entry = parse_entry(row.entry)
    except HivemarkError as error:
        yield f"its log entry cannot be read: {error}"
        return
    if not isinstance(entry, AttemptEntry) or entry.receipt is None or entry.receipt.raw != receipt:
        yield "its log entry holds another receipt"
    if row.leaf != _leaf_of(row.entry, row.salt):
        yield "its leaf does not commit to its log entry"


def _leaf_of(entry: bytes, salt: bytes | None) -> bytes | None:
    """What the tree holds for this entry; None when nothing could."""
    if salt is None:
        return entry
    return encode_private(salt, entry) if len(salt) == SALT_BYTES else None


def _of_blob(digest: str, blobs: BlobStore) -> Iterator[str]:
    try:
        if blobs.get(digest) is None:
            yield f"blob {digest} is missing"
    except HivemarkError as error:
        yield str(error)

"""fsck finds what was planted, names it, and finds nothing where nothing is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import text

from hivemark.coordinator.loops.sequencer import Sequencer
from hivemark.coordinator.ports import (
    ApiKey,
    HiveModel,
    HiveRow,
    NewExecution,
    NewJob,
    NewLease,
    NewLogEntry,
    Result,
    TrustedKey,
)
from hivemark.coordinator.store import FolderBlobStore, FolderTileStore, SqlStore, open_store
from hivemark.coordinator.store.fsck import check_database
from hivemark.coordinator.store.fsckhives import check_enrolments
from hivemark.coordinator.store.fscklog import check_log
from hivemark.coordinator.store.fsckreceipts import check_receipts
from hivemark.jobs.lifecycle import ExecutionEvent
from hivemark.protocol.dsse import parse_envelope, sign_envelope
from hivemark.protocol.enrolment import Enrolment, sign_enrolment
from hivemark.protocol.entry import encode_attempt, encode_enrolled, encode_private
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.receipt import ClaimedRegion, HiveRef
from hivemark.protocol.times import format_ms
from hivemark.translog.note import NoteSigner

KEY = PrivateKey.from_seed(bytes(32))
SIGNER = NoteSigner("hivemark.example/fsck/2026", KEY)
FAR_MS = 1 << 40
HIVE_KEY = PrivateKey.from_seed(b"h" * 32).public
HIVE = hive_id(HIVE_KEY.raw)


def enrolment_entry(
    row: str, event: Literal["enrolled", "revoked"], *, network: str = "fsck", key: PrivateKey = KEY
) -> NewLogEntry:
    statement = Enrolment(
        network=network,
        event=event,
        hive=HiveRef.of(HIVE_KEY),
        at=format_ms(1),
        region=ClaimedRegion(claimed="EU"),
        absent={},
    )
    entry = encode_enrolled(sign_enrolment(statement, key))
    return NewLogEntry(row, entry, entry, None, None)


def result_of(attempt: str, lease_version: int, *, private: bool, disclosure: str) -> Result:
    receipt = sign_envelope(f'{{"receipt":"{attempt}"}}'.encode(), KEY)
    acceptance = sign_envelope(f'{{"acceptance":"{attempt}"}}'.encode(), KEY)
    entry = encode_attempt(acceptance, receipt)
    salt = bytes(32) if private else None
    leaf = entry if salt is None else encode_private(salt, entry)
    return Result(
        attempt=attempt,
        lease_version=lease_version,
        event=ExecutionEvent.SUCCEEDED,
        now_ms=30,
        receipt=receipt,
        receipt_sha256=parse_envelope(receipt).sha256,
        disclosure=disclosure,
        prompt_tokens=1,
        completion_tokens=1,
        charge_micro=40,
        failure=None,
        not_before_ms=30,
        log=NewLogEntry(attempt, leaf, entry, salt, attempt),
        log_event_body="{}",
    )


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "blobs")


@pytest.fixture
def tiles(tmp_path: Path) -> FolderTileStore:
    return FolderTileStore(tmp_path / "log")


@pytest.fixture
def store(tmp_path: Path, blobs: FolderBlobStore, tiles: FolderTileStore) -> Iterator[SqlStore]:
    """A job of three cells: one done in public, one in private, one leased."""
    store = open_store(f"sqlite:///{tmp_path / 'x.db'}", network="fsck")
    store.trust(TrustedKey("key", "acct_a", "k", "active", 1), grant_micro=1_000)
    store.add_join_token("token", owner="acct_b", until_ms=FAR_MS)
    model = HiveModel("tiny", None, "e", None, None, None, True)
    hive = HiveRow(
        HIVE,
        HIVE_KEY.base64,
        "h",
        "",
        "EU",
        "active",
        False,
        1,
        0,
        None,
        False,
        None,
        3,
        (),
        (),
        (model,),
        None,
    )
    store.enrol(hive, token_sha256="token", now_ms=1, log=enrolment_entry("enrol", "enrolled"))
    epoch = store.open_session(HIVE, session_sha256="s", address=None, now_ms=2)
    key = ApiKey(
        "key_1", "acct_a", "k", "hm_", ("read",), None, 900, 0, None, None, 1, None, None, None, True
    )
    store.add_api_key(key, token_sha256="t")
    cells = tuple(
        NewExecution(f"exe_{n}", n, 0, 0, 0, 0, 0, 0, "tiny", None, None, hold_micro=100) for n in range(3)
    )
    store.submit(
        NewJob(
            "job_1",
            "acct_a",
            "key",
            "spec",
            b"{}",
            b"m",
            "d",
            "nonce",
            FAR_MS,
            None,
            "b",
            "noop",
            "public",
            0.5,
            1,
            10,
            FAR_MS,
            "requester",
            cells,
            "key_1",
        )
    )
    leases = [NewLease(f"att_{n}", f"exe_{n}", 1, HIVE, epoch, FAR_MS, "g") for n in range(3)]
    leased = store.lease(leases, now_ms=20)
    for attempt, private in zip(leased[:2], (False, True), strict=True):
        disclosure = blobs.put(attempt.id.encode())
        store.record_result(
            result_of(attempt.id, attempt.lease_version, private=private, disclosure=disclosure)
        )
    sequencer = Sequencer(store, tiles, SIGNER, holder="fsck")
    while sequencer.step(40):
        pass
    yield store
    store.close()


def everything(store: SqlStore, blobs: FolderBlobStore, tiles: FolderTileStore) -> list[str]:
    return [
        *check_database(store),
        *check_log(store, tiles, SIGNER.verifier),
        *check_enrolments(store, network="fsck", service_key=KEY.public),
        *check_receipts(store, blobs),
    ]


def test_a_sound_store_has_no_problems(
    store: SqlStore, blobs: FolderBlobStore, tiles: FolderTileStore
) -> None:
    assert everything(store, blobs, tiles) == []


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("UPDATE accounts SET balance_micro = balance_micro + 1 WHERE id = 'acct_a'", "account acct_a"),
        ("UPDATE postings SET amount_micro = amount_micro - 1 WHERE account = 'acct_a'", "transaction"),
        ("UPDATE book_head SET seq = seq + 1", "book: its head says"),
        ("UPDATE executions SET hold_micro = 7 WHERE state = 'leased'", "account escrow:job_1"),
        ("UPDATE api_keys SET spent_micro = 181", "key_1: says 181 spent, its jobs hold or cost 180"),
        ("UPDATE jobs SET api_key = 'key_2'", "key_2: jobs run under it, and there is no such key"),
        ("UPDATE jobs SET api_key = NULL", "key_1: says 180 spent, and no job runs under it"),
        ("UPDATE jobs SET state = 'completed', finished_ms = 1", "with 1 open cells"),
        ("DELETE FROM job_events WHERE seq = 3", "job job_1"),
        ("UPDATE jobs SET event_seq = event_seq + 1", "job job_1"),
        (
            "UPDATE executions SET state = 'queued' WHERE state = 'leased'",
            "is queued with 1 open attempts",
        ),
        ("UPDATE executions SET attempts = 2 WHERE id = 'exe_0'", "counts 2 attempts, there are 1"),
        (
            "UPDATE attempts SET outcome = 'lost', receipt = NULL WHERE id = 'att_0'",
            "completed without an accepted receipt",
        ),
        ("UPDATE attempts SET log_entry = NULL WHERE id = 'att_0'", "has no log row"),
        ("UPDATE log_leader SET size = size + 1", "log: its head says"),
        ("DELETE FROM log_entries WHERE idx = 1", "it must have one of them"),
        ("UPDATE log_rows SET leaf = x'00' WHERE id = 'enrol'", "do not lead to the signed root"),
        ("UPDATE log_rows SET leaf = x'00' WHERE id = 'enrol'", "its enrolment does not hold"),
        ("UPDATE log_rows SET attempt = 'att_0' WHERE id = 'enrol'", "its enrolment is not in the log"),
        ("UPDATE log_rows SET attempt = NULL WHERE id = 'att_0'", "no attempt and is no enrolment"),
        ("UPDATE hives SET status = 'revoked'", "is revoked, the log does not say so"),
        ("UPDATE hives SET public_key = 'other'", "has another key than the log says"),
        ("UPDATE attempts SET receipt_sha256 = 'x' WHERE id = 'att_0'", "does not have its digest"),
        ("UPDATE attempts SET receipt = x'00' WHERE id = 'att_1'", "holds another receipt"),
        ("UPDATE log_rows SET salt = x'00' WHERE id = 'att_1'", "does not commit to its log entry"),
        ("UPDATE log_rows SET entry = x'00' WHERE id = 'att_1'", "cannot be read"),
        ("UPDATE attempts SET disclosure = 'gone' WHERE id = 'att_0'", "blob gone is missing"),
    ],
)
def test_what_was_changed_is_found(
    store: SqlStore, blobs: FolderBlobStore, tiles: FolderTileStore, harm: str, found: str
) -> None:
    assert store.database.write(lambda connection: connection.execute(text(harm)).rowcount) >= 1
    problems = everything(store, blobs, tiles)
    assert any(found in problem for problem in problems), problems


def test_a_revoked_hive_has_its_end_in_the_log(store: SqlStore) -> None:
    store.revoke_hive(HIVE, now_ms=50, log=enrolment_entry("revoke", "revoked"))
    assert check_enrolments(store, network="fsck", service_key=KEY.public) == []
    harm = text("UPDATE hives SET status = 'active'")
    assert store.database.write(lambda connection: connection.execute(harm).rowcount) == 1
    (problem,) = check_enrolments(store, network="fsck", service_key=KEY.public)
    assert problem == f"hive {HIVE}: is active, the log says that it was revoked"


def test_enrolments_of_other_services_and_networks_are_found(store: SqlStore) -> None:
    other = PrivateKey.from_seed(b"o" * 32).public
    problems = check_enrolments(store, network="fsck", service_key=other)
    assert "its enrolment does not hold" in problems[0]
    assert problems[1:] == [f"hive {HIVE}: its enrolment is not in the log"]
    problems = check_enrolments(store, network="other", service_key=KEY.public)
    assert problems[0] == "log row enrol: its enrolment is of network fsck"


def test_a_hive_only_the_log_knows_is_found(tmp_path: Path) -> None:
    empty = open_store(f"sqlite:///{tmp_path / 'empty.db'}", network="fsck")
    empty.queue_entry(enrolment_entry("enrol", "enrolled"), now_ms=1)
    found = check_enrolments(empty, network="fsck", service_key=KEY.public)
    empty.close()
    assert found == [f"hive {HIVE}: was enrolled in log row enrol, the database does not know it"]


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/entries/000.p/3"])
def test_a_changed_file_of_the_log_is_found(
    store: SqlStore, tiles: FolderTileStore, tmp_path: Path, path: str
) -> None:
    file = tmp_path / "log" / path
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert check_log(store, tiles, SIGNER.verifier) == [f"log: {path} differs from the database's entries"]
    file.unlink()
    assert check_log(store, tiles, SIGNER.verifier) == [f"log: {path} is missing"]


def test_another_checkpoint_is_found(store: SqlStore, tiles: FolderTileStore, tmp_path: Path) -> None:
    (tmp_path / "log" / "checkpoint").write_bytes(b"nonsense")
    problems = check_log(store, tiles, SIGNER.verifier)
    assert len(problems) == 2 and "does not hold" in problems[1]


def test_a_changed_blob_is_found(store: SqlStore, blobs: FolderBlobStore, tmp_path: Path) -> None:
    file = next(path for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    file.write_bytes(b"other")
    (problem,) = check_receipts(store, blobs)
    assert "is damaged" in problem


def test_progress_ends_at_its_total(store: SqlStore, blobs: FolderBlobStore, tiles: FolderTileStore) -> None:
    told: list[tuple[str, int, int]] = []

    def note(check: str, done: int, total: int) -> None:
        told.append((check, done, total))

    check_database(store, progress=note)
    check_log(store, tiles, SIGNER.verifier, progress=note)
    check_receipts(store, blobs, progress=note)
    ends = {check: (done, total) for check, done, total in told}
    assert ends["database"][0] == ends["database"][1] > 0
    assert ends["log"] == (3, 3) and ends["receipts"] == (2, 2)

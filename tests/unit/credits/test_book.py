"""The credit book: what each transaction moves, and what is refused."""

from dataclasses import replace

import pytest

from hivemark.credits.book import (
    TREASURY,
    Account,
    AccountKind,
    Book,
    Posting,
    Transaction,
    TransactionKind,
    account_kind,
    apply,
    draft,
    fsck_book,
    hold,
    mint,
    release,
    settle,
    void,
)
from hivemark.errors import ConflictError, InvalidError, PaymentRequiredError

OWNER = "acct_owner"


def funded(amount_micro: int = 1_000) -> Book:
    book = Book(network="home-test")
    return apply(book, mint(book, OWNER, amount_micro, key="mint-1", authority="operator", tick_ms=1))


def held(amount_micro: int = 600) -> Book:
    book = funded()
    return apply(book, hold(book, OWNER, "job_1", amount_micro, key="hold-1", authority="spec:aa", tick_ms=2))


def settled(actual_micro: int, *, key: str = "settle-1", held_micro: int = 200) -> Book:
    book = held()
    transaction = settle(
        book,
        "job_1",
        account=OWNER,
        hive="hive_a",
        held_micro=held_micro,
        actual_micro=actual_micro,
        key=key,
        authority="service",
        tick_ms=3,
    )
    return apply(book, transaction)


def balances(book: Book) -> dict[str, int]:
    return {name: account.balance_micro for name, account in book.accounts.items()}


def test_the_path_of_a_credit_from_treasury_to_hive() -> None:
    book = settled(150)
    book = apply(book, void(book, OWNER, "job_1", 400, key="void-1", authority="service", tick_ms=4))
    book = apply(book, release(book, "hive_a", 150, key="release-1", authority="service", tick_ms=5))
    assert balances(book) == {
        TREASURY: -1_000,
        OWNER: 850,
        "escrow:job_1": 0,
        "pending:hive_a": 0,
        "hive:hive_a": 150,
    }
    assert book.seq == 5
    assert book.account(OWNER).seq == 4


def test_a_hive_is_never_paid_more_than_was_held() -> None:
    assert balances(settled(9_999))["pending:hive_a"] == 200


def test_a_settlement_of_nothing_returns_the_whole_hold() -> None:
    book = settled(0)
    assert balances(book) == {TREASURY: -1_000, OWNER: 600, "escrow:job_1": 400}


def test_a_repeated_transaction_changes_nothing() -> None:
    book = settled(150)
    again = book.applied["settle-1"]
    assert apply(book, again) is book


def test_a_key_that_stands_for_something_else_is_refused() -> None:
    book = settled(150)
    other = void(book, OWNER, "job_1", 400, key="settle-1", authority="service", tick_ms=4)
    with pytest.raises(ConflictError, match="settle-1"):
        apply(book, other)


def test_an_overdraft_is_refused_and_leaves_the_book_alone() -> None:
    book = funded(100)
    before = balances(book)
    with pytest.raises(PaymentRequiredError) as refused:
        apply(book, hold(book, OWNER, "job_1", 101, key="hold-1", authority="spec:aa", tick_ms=2))
    assert refused.value.code == "balance_too_low"
    assert balances(book) == before


def test_what_was_drafted_on_an_older_book_has_lost_its_race() -> None:
    book = funded()
    first = hold(book, OWNER, "job_1", 10, key="hold-1", authority="spec:aa", tick_ms=2)
    second = hold(book, OWNER, "job_2", 10, key="hold-2", authority="spec:bb", tick_ms=2)
    book = apply(book, first)
    with pytest.raises(ConflictError) as moved:
        apply(book, second)
    assert moved.value.code == "book_moved"
    with pytest.raises(ConflictError) as stale:
        apply(book, replace(second, seq=book.seq + 1))
    assert stale.value.code == "account_moved"


def _transaction(*legs: tuple[str, int], kind: TransactionKind = TransactionKind.HOLD) -> Transaction:
    book = funded()
    return draft(book, kind, key="k", authority="service", tick_ms=2, legs=legs)


@pytest.mark.parametrize(
    ("transaction", "said"),
    [
        (_transaction((OWNER, -10), ("escrow:job_1", 9)), "sum to zero"),
        (_transaction(), "needs legs"),
        (_transaction(("escrow:job_1", -10), (OWNER, 10)), "never takes from escrow:job_1"),
        (_transaction((OWNER, -10), ("hive:hive_a", 10)), "never gives to hive:hive_a"),
        (_transaction(("nobody", -10), ("escrow:job_1", 10)), "no kind of account"),
        (replace(_transaction((OWNER, -1), ("escrow:j", 1)), network="other"), "in the book of home-test"),
        (replace(_transaction((OWNER, -1), ("escrow:j", 1)), authority=""), "an authority"),
        (replace(_transaction((OWNER, -1), ("escrow:j", 1)), key=""), "a key"),
        (_transaction((OWNER, -(2**53)), ("escrow:j", 2**53)), "no amount"),
        (_transaction((OWNER, -1), (OWNER, 1)), "one for each account"),
    ],
)
def test_a_transaction_that_could_never_be_posted_is_refused(transaction: Transaction, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        apply(funded(), transaction)


def test_a_balance_beyond_what_json_carries_is_refused() -> None:
    book = funded(2**53 - 1)
    with pytest.raises(InvalidError, match="cannot hold"):
        apply(book, mint(book, OWNER, 1, key="mint-2", authority="operator", tick_ms=2))


@pytest.mark.parametrize("name", ["acct_x", "escrow:job_1", "pending:hive_a", "hive:hive_a", "treasury"])
def test_the_name_of_an_account_tells_its_kind(name: str) -> None:
    assert account_kind(name) in set(AccountKind)


@pytest.mark.parametrize("name", ["", "escrow:", "user:x", "treasury:x", "hive", ":x"])
def test_a_name_of_no_kind_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        account_kind(name)


def test_fsck_finds_nothing_in_a_sound_book() -> None:
    book = settled(150)
    assert fsck_book(book.applied.values(), balances(book)) == []
    assert fsck_book([], {}) == []


def test_fsck_reports_a_missing_transaction_once() -> None:
    book = settled(150)
    rows = [row for row in book.applied.values() if row.kind is not TransactionKind.HOLD]
    problems = fsck_book(rows, balances(book))
    assert problems[0] == "transaction 3: the book is at 1, the transaction is number 3"
    assert any(line.startswith("account escrow:job_1: 400 is stored") for line in problems)


def test_fsck_reports_a_changed_balance_and_a_changed_posting() -> None:
    book = settled(150)
    changed = {**balances(book), "pending:hive_a": 151}
    assert fsck_book(book.applied.values(), changed) == [
        "account pending:hive_a: 151 is stored, its postings sum to 150"
    ]
    rows = list(book.applied.values())
    rows[2] = replace(rows[2], postings=(*rows[2].postings[:2], Posting(OWNER, 51, 3)))
    assert "transaction 3: the postings do not sum to zero" in fsck_book(rows, balances(book))


def test_fsck_reports_a_key_that_was_applied_twice() -> None:
    book = settled(150)
    rows = [*book.applied.values(), replace(book.applied["settle-1"], seq=4)]
    assert "transaction 4: the key settle-1 was applied before" in fsck_book(rows, balances(book))


def test_an_account_that_is_not_loaded_is_new() -> None:
    assert Book(network="n").account("acct_x") == Account(balance_micro=0, seq=0)

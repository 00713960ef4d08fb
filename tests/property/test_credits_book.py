"""Any sequence of transactions keeps the promises of the book."""

from hypothesis import given
from hypothesis import strategies as st

from hivemark.credits.book import (
    TREASURY,
    Book,
    Transaction,
    account_kind,
    apply,
    fsck_book,
    hold,
    mint,
    release,
    settle,
    void,
)
from hivemark.credits.price import format_credits, parse_credits
from hivemark.errors import PaymentRequiredError

ACCOUNTS = st.sampled_from(["acct_a", "acct_b"])
JOBS = st.sampled_from(["job_1", "job_2"])
HIVES = st.sampled_from(["hive_x", "hive_y"])
AMOUNTS = st.integers(min_value=1, max_value=1_000)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("mint"), ACCOUNTS, AMOUNTS),
        st.tuples(st.just("hold"), ACCOUNTS, JOBS, AMOUNTS),
        st.tuples(st.just("settle"), JOBS, ACCOUNTS, HIVES, AMOUNTS, st.integers(0, 2_000)),
        st.tuples(st.just("void"), ACCOUNTS, JOBS, AMOUNTS),
        st.tuples(st.just("release"), HIVES, AMOUNTS),
    ),
    max_size=60,
)


def drafted(book: Book, number: int, action: tuple[str, ...]) -> Transaction:
    key = f"key-{number}"
    match action:
        case ("mint", account, amount):
            return mint(book, account, amount, key=key, authority="operator", tick_ms=number)
        case ("hold", account, job, amount):
            return hold(book, account, job, amount, key=key, authority="spec:aa", tick_ms=number)
        case ("settle", job, account, hive, held, actual):
            return settle(
                book,
                job,
                account=account,
                hive=hive,
                held_micro=held,
                actual_micro=actual,
                key=key,
                authority="service",
                tick_ms=number,
            )
        case ("void", account, job, amount):
            return void(book, account, job, amount, key=key, authority="service", tick_ms=number)
        case ("release", hive, amount):
            return release(book, hive, amount, key=key, authority="service", tick_ms=number)
    raise AssertionError(action)


def run(actions: list[tuple[str, ...]]) -> tuple[Book, int]:
    book, refused = Book(network="n"), 0
    for number, action in enumerate(actions):
        transaction = drafted(book, number, action)
        try:
            book = apply(book, transaction)
        except PaymentRequiredError:
            refused += 1
    return book, refused


@given(ACTIONS)
def test_credits_are_conserved_and_no_account_is_overdrawn(actions: list[tuple[str, ...]]) -> None:
    book, refused = run(actions)
    assert sum(account.balance_micro for account in book.accounts.values()) == 0
    assert all(account.balance_micro >= 0 for name, account in book.accounts.items() if name != TREASURY)
    assert book.seq == len(actions) - refused


@given(ACTIONS)
def test_a_book_applied_twice_is_the_book_applied_once(actions: list[tuple[str, ...]]) -> None:
    book, _ = run(actions)
    again = book
    for transaction in book.applied.values():
        again = apply(again, transaction)
    assert again is book


@given(ACTIONS)
def test_the_touched_accounts_are_all_that_apply_needs(actions: list[tuple[str, ...]]) -> None:
    whole, _ = run(actions)
    narrow = Book(network="n")
    for transaction in whole.applied.values():
        touched = {posting.account: narrow.account(posting.account) for posting in transaction.postings}
        after = apply(Book("n", narrow.seq, touched), transaction)
        narrow = Book("n", after.seq, {**narrow.accounts, **after.accounts})
    assert narrow.accounts == whole.accounts


@given(ACTIONS)
def test_a_replayed_book_is_sound(actions: list[tuple[str, ...]]) -> None:
    book, _ = run(actions)
    stored = {name: account.balance_micro for name, account in book.accounts.items()}
    assert fsck_book(book.applied.values(), stored) == []
    assert all(account_kind(name) for name in stored)


@given(ACTIONS.filter(len), st.integers(min_value=1, max_value=10**6))
def test_fsck_sees_any_change_of_one_balance(actions: list[tuple[str, ...]], change: int) -> None:
    book, _ = run(actions)
    stored = {name: account.balance_micro for name, account in book.accounts.items()}
    for name in stored:
        assert fsck_book(book.applied.values(), {**stored, name: stored[name] + change}) != []


@given(st.integers(min_value=0, max_value=10**16 - 1))
def test_amounts_survive_their_text_form(micro: int) -> None:
    assert parse_credits(format_credits(micro)) == micro

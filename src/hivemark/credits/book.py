"""The credit book: double entry in integer micro-credits, and the one implementation of posting, `apply`.

Invariants: the postings of a transaction sum to zero; no account but the treasury is ever below zero; a key
is applied once; book and account sequences have no gaps. A caller may load only the accounts a transaction
touches: `apply` looks at nothing else. Time enters only as a transaction's `tick_ms`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from hivemark.errors import ConflictError, HivemarkError, InvalidError, PaymentRequiredError

AMOUNT_MICRO_MAX: Final = 2**53 - 1  # what JSON carries exactly
TREASURY: Final = "treasury"


class AccountKind(StrEnum):
    """What an account is for; its name tells which. Only the treasury, which issues, may be negative."""

    USER = "user"
    ESCROW = "escrow"
    PENDING = "pending"
    HIVE = "hive"
    TREASURY = "treasury"


class TransactionKind(StrEnum):
    """What a transaction does."""

    MINT = "mint"
    HOLD = "hold"
    SETTLE = "settle"
    VOID = "void"
    RELEASE = "release"


# From which kinds of account each transaction takes, and to which it gives.
_FLOWS: Final[Mapping[TransactionKind, tuple[frozenset[AccountKind], frozenset[AccountKind]]]] = {
    TransactionKind.MINT: (frozenset({AccountKind.TREASURY}), frozenset({AccountKind.USER})),
    TransactionKind.HOLD: (frozenset({AccountKind.USER}), frozenset({AccountKind.ESCROW})),
    TransactionKind.SETTLE: (
        frozenset({AccountKind.ESCROW}),
        frozenset({AccountKind.PENDING, AccountKind.USER}),
    ),
    TransactionKind.VOID: (frozenset({AccountKind.ESCROW}), frozenset({AccountKind.USER})),
    TransactionKind.RELEASE: (frozenset({AccountKind.PENDING}), frozenset({AccountKind.HIVE})),
}


@dataclass(frozen=True, slots=True)
class Account:
    """A balance and how many postings made it."""

    balance_micro: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg. `account_seq` is its position among the account's postings, from 1, without gaps."""

    account: str
    amount_micro: int
    account_seq: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is written once and never changed. `authority` names what allowed it: the digest of a signed
    spec for a hold, `service` for what the coordinator books in consequence, `operator` for a mint."""

    network: str
    seq: int
    key: str
    kind: TransactionKind
    authority: str
    tick_ms: int
    postings: tuple[Posting, ...]

    @property
    def legs(self) -> tuple[tuple[str, int], ...]:
        """What it moves, whenever it is booked."""
        return tuple((posting.account, posting.amount_micro) for posting in self.postings)


@dataclass(frozen=True, slots=True)
class Book:
    """The part of the book that is at hand: `seq` of its newest transaction, the loaded accounts (an absent
    one is new) and, of the transactions already applied, those whose keys matter."""

    network: str
    seq: int = 0
    accounts: Mapping[str, Account] = field(default_factory=dict)
    applied: Mapping[str, Transaction] = field(default_factory=dict)

    def account(self, name: str) -> Account:
        return self.accounts.get(name, Account())


def apply(book: Book, transaction: Transaction) -> Book:
    """The book once `transaction` is posted; the same book when its key was applied before.

    Raises `PaymentRequiredError` on an overdraft, `ConflictError` when a sequence has moved on or the key
    stands for something else, `InvalidError` for a transaction that could never be posted.
    """
    earlier = book.applied.get(transaction.key)
    if earlier is not None:
        if (earlier.kind, earlier.legs) != (transaction.kind, transaction.legs):
            raise ConflictError(f"the key {transaction.key} was used otherwise", code="book_key_reused")
        return book
    accounts = {**book.accounts, **_posted(book, transaction)}
    applied = {**book.applied, transaction.key: transaction}
    return replace(book, seq=transaction.seq, accounts=accounts, applied=applied)


def draft(
    book: Book,
    kind: TransactionKind,
    *,
    key: str,
    authority: str,
    tick_ms: int,
    legs: Iterable[tuple[str, int]],
) -> Transaction:
    """The next transaction of `book` with these legs; legs of nothing are left out."""
    postings = tuple(
        Posting(name, amount, book.account(name).seq + 1) for name, amount in legs if amount != 0
    )
    return Transaction(book.network, book.seq + 1, key, kind, authority, tick_ms, postings)


def mint(
    book: Book, account: str, amount_micro: int, *, key: str, authority: str, tick_ms: int
) -> Transaction:
    """Credits issued to an account."""
    legs = ((TREASURY, -amount_micro), (account, amount_micro))
    return draft(book, TransactionKind.MINT, key=key, authority=authority, tick_ms=tick_ms, legs=legs)


def hold(
    book: Book, account: str, job: str, amount_micro: int, *, key: str, authority: str, tick_ms: int
) -> Transaction:
    """What a job may cost, moved from its account into its escrow."""
    legs = ((account, -amount_micro), (escrow_account(job), amount_micro))
    return draft(book, TransactionKind.HOLD, key=key, authority=authority, tick_ms=tick_ms, legs=legs)


def settle(
    book: Book,
    job: str,
    *,
    account: str,
    hive: str,
    held_micro: int,
    actual_micro: int,
    key: str,
    authority: str,
    tick_ms: int,
) -> Transaction:
    """One execution's share of the escrow: min(actual, held) to the hive's pending, the rest back."""
    paid = min(actual_micro, held_micro)
    legs = (
        (escrow_account(job), -held_micro),
        (pending_account(hive), paid),
        (account, held_micro - paid),
    )
    return draft(book, TransactionKind.SETTLE, key=key, authority=authority, tick_ms=tick_ms, legs=legs)


def void(
    book: Book, account: str, job: str, amount_micro: int, *, key: str, authority: str, tick_ms: int
) -> Transaction:
    """A hold that nothing was paid from, returned."""
    legs = ((escrow_account(job), -amount_micro), (account, amount_micro))
    return draft(book, TransactionKind.VOID, key=key, authority=authority, tick_ms=tick_ms, legs=legs)


def release(
    book: Book, hive: str, amount_micro: int, *, key: str, authority: str, tick_ms: int
) -> Transaction:
    """Pay from a hive's pending into its balance, once the log covers what it was earned by."""
    legs = ((pending_account(hive), -amount_micro), (hive_account(hive), amount_micro))
    return draft(book, TransactionKind.RELEASE, key=key, authority=authority, tick_ms=tick_ms, legs=legs)


def escrow_account(job: str) -> str:
    return f"escrow:{job}"


def pending_account(hive: str) -> str:
    return f"pending:{hive}"


def hive_account(hive: str) -> str:
    return f"hive:{hive}"


def account_kind(name: str) -> AccountKind:
    """What the account of this name is for; raises `InvalidError` for a name of no known kind."""
    prefix, colon, rest = name.partition(":")
    if name == TREASURY:
        return AccountKind.TREASURY
    if colon and rest and prefix in ("escrow", "pending", "hive"):
        return AccountKind(prefix)
    if name.startswith("acct_"):
        return AccountKind.USER
    raise InvalidError(f"{name!r} names no kind of account", code="account_unknown")


def fsck_book(transactions: Iterable[Transaction], balances: Mapping[str, int]) -> list[str]:
    """Replay the whole book in sequence and compare it with the stored balances; one line per problem."""
    problems: list[str] = []
    seq, accounts, applied = 0, dict[str, Account](), dict[str, Transaction]()
    for transaction in transactions:
        book = Book(transaction.network, seq, accounts, applied)
        try:
            if transaction.key in applied:
                raise ConflictError(f"the key {transaction.key} was applied before")
            accounts.update(_posted(book, transaction))
        except HivemarkError as error:
            problems.append(f"transaction {transaction.seq}: {error.message}")
            accounts.update(_as_stored(book, transaction))
        seq = transaction.seq
        applied[transaction.key] = transaction
    for name in sorted(accounts.keys() | balances.keys()):
        stored, summed = balances.get(name, 0), accounts.get(name, Account()).balance_micro
        if stored != summed:
            problems.append(f"account {name}: {stored} is stored, its postings sum to {summed}")
    return problems


def _posted(book: Book, transaction: Transaction) -> dict[str, Account]:
    """The accounts that the transaction changes, as they are afterwards; raises as `apply` does."""
    _require_form(book, transaction)
    if transaction.seq != book.seq + 1:
        message = f"the book is at {book.seq}, the transaction is number {transaction.seq}"
        raise ConflictError(message, code="book_moved")
    return {
        posting.account: _post(book.account(posting.account), posting) for posting in transaction.postings
    }


def _as_stored(book: Book, transaction: Transaction) -> dict[str, Account]:
    """The same, right or wrong: one bad row is reported once and not by all that follow it."""
    accounts: dict[str, Account] = {}
    for posting in transaction.postings:
        before = accounts.get(posting.account, book.account(posting.account))
        accounts[posting.account] = Account(before.balance_micro + posting.amount_micro, posting.account_seq)
    return accounts


def _require_form(book: Book, transaction: Transaction) -> None:
    """What can be said of a transaction without looking at balances."""
    names = [posting.account for posting in transaction.postings]
    if transaction.network != book.network:
        raise InvalidError(f"a transaction of {transaction.network} in the book of {book.network}")
    if not transaction.key or not transaction.authority:
        raise InvalidError("a transaction needs a key and an authority")
    if not names or len(set(names)) != len(names):
        raise InvalidError("a transaction needs legs, and one for each account")
    if sum(posting.amount_micro for posting in transaction.postings) != 0:
        raise InvalidError("the postings do not sum to zero", code="book_unbalanced")
    takes, gives = _FLOWS[transaction.kind]
    for posting in transaction.postings:
        if posting.amount_micro == 0 or abs(posting.amount_micro) > AMOUNT_MICRO_MAX:
            raise InvalidError(f"{posting.amount_micro} is no amount to post")
        allowed = takes if posting.amount_micro < 0 else gives
        if account_kind(posting.account) not in allowed:
            way = "takes from" if posting.amount_micro < 0 else "gives to"
            raise InvalidError(f"a {transaction.kind} never {way} {posting.account}", code="book_flow")


def _post(account: Account, posting: Posting) -> Account:
    if posting.account_seq != account.seq + 1:
        message = f"{posting.account} is at {account.seq}, the posting is number {posting.account_seq}"
        raise ConflictError(message, code="account_moved")
    balance = account.balance_micro + posting.amount_micro
    if balance < 0 and account_kind(posting.account) is not AccountKind.TREASURY:
        message = f"{posting.account} holds {account.balance_micro} µ, {-posting.amount_micro} µ are asked"
        raise PaymentRequiredError(message, code="balance_too_low")
    if abs(balance) > AMOUNT_MICRO_MAX:
        raise InvalidError(f"{posting.account} cannot hold {balance} µ", code="balance_too_high")
    return Account(balance, posting.account_seq)

"""The credit book in the tables: load what a transaction touches, `credits.book.apply`, write it.

Every booking locks the head row first, so that the book's sequence has no gaps and account rows need no locks
of their own; lock the head last in a transaction.
"""

from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from hivemark.coordinator.ports import StateMoved
from hivemark.coordinator.store.tables import accounts, book_head, book_transactions, postings
from hivemark.credits.book import Account, Book, Transaction, apply

_TAKE_HEAD: Final = (
    book_head.update()
    .where(book_head.c.id == 1)
    .values(seq=book_head.c.seq + 1)
    .returning(book_head.c.network, book_head.c.seq)
)
_LOAD: Final = select(accounts.c.id, accounts.c.balance_micro, accounts.c.seq).where(
    accounts.c.id.in_(bindparam("names", expanding=True))
)
_SAVE: Final = (
    accounts.update()
    .where(accounts.c.id == bindparam("name"), accounts.c.seq == bindparam("seq_before"))
    .values(balance_micro=bindparam("balance_micro"), seq=bindparam("seq"))
)
_ADD_TRANSACTION: Final = book_transactions.insert()
_ADD_POSTINGS: Final = postings.insert()
_ADD_ACCOUNTS: Final = accounts.insert()
_KEY_USED: Final = (
    select(func.count())
    .select_from(book_transactions)
    .where(book_transactions.c.key == bindparam("transaction_key"))
)


def post(connection: Connection, names: Iterable[str], draft: Callable[[Book], Transaction]) -> None:
    """Book what `draft` makes of the accounts in `names`; raises what `apply` raises.

    The transaction's key is unique in its table: booked twice, the whole operation fails.
    """
    network, seq = connection.execute(_TAKE_HEAD).one()
    loaded = {
        name: Account(balance_micro, account_seq)
        for name, balance_micro, account_seq in connection.execute(_LOAD, {"names": list(names)})
    }
    before = Book(network, seq - 1, loaded)
    transaction = draft(before)
    after = apply(before, transaction)
    _save_accounts(connection, before, after, transaction)
    connection.execute(
        _ADD_TRANSACTION,
        {
            "seq": transaction.seq,
            "key": transaction.key,
            "kind": transaction.kind.value,
            "authority": transaction.authority,
            "tick_ms": transaction.tick_ms,
        },
    )
    connection.execute(
        _ADD_POSTINGS,
        [
            {
                "seq": transaction.seq,
                "account": posting.account,
                "amount_micro": posting.amount_micro,
                "account_seq": posting.account_seq,
            }
            for posting in transaction.postings
        ],
    )


def is_booked(connection: Connection, key: str) -> bool:
    return bool(connection.execute(_KEY_USED, {"transaction_key": key}).scalar_one())


def _save_accounts(connection: Connection, before: Book, after: Book, transaction: Transaction) -> None:
    names = [posting.account for posting in transaction.postings]
    known = [name for name in names if name in before.accounts]
    new = [name for name in names if name not in before.accounts]
    if new:
        connection.execute(
            _ADD_ACCOUNTS,
            [
                {
                    "id": name,
                    "balance_micro": after.account(name).balance_micro,
                    "seq": after.account(name).seq,
                }
                for name in new
            ],
        )
    if known:
        saved = connection.execute(
            _SAVE,
            [
                {
                    "name": name,
                    "seq_before": before.account(name).seq,
                    "balance_micro": after.account(name).balance_micro,
                    "seq": after.account(name).seq,
                }
                for name in known
            ],
        )
        if saved.rowcount != len(known):
            raise StateMoved("an account has moved on under the book's head", code="account_moved")

"""The keys whose signature may submit jobs, and the credits behind their accounts."""

from collections.abc import Sequence

from hivemark.coordinator.ports import KeyStore, TrustedKey
from hivemark.errors import ForbiddenError, InvalidError, NotFoundError
from hivemark.protocol.ids import account_id
from hivemark.protocol.keys import PublicKey

_KEY_ID_CHARS_MAX = 255


class Keys:
    """Trust, and the end of it."""

    def __init__(self, *, store: KeyStore, grant_micro: int) -> None:
        self._store = store
        self._grant_micro = grant_micro

    def trust(
        self, public_key: str, *, key_id: str | None, grant_micro: int | None, now_ms: int
    ) -> TrustedKey:
        """Trust a key; its account is minted the grant once. Trusting a key again changes nothing."""
        key = PublicKey.from_base64(public_key, field="public_key")
        known = self._store.trusted_key(key.base64)
        if known is not None and known.status == "active":
            return known
        name = key_id or key.fingerprint
        if len(name) > _KEY_ID_CHARS_MAX:
            raise InvalidError("at most 255 characters", code="member_invalid", field="key_id")
        grant = self._grant_micro if grant_micro is None else grant_micro
        self._store.trust(
            TrustedKey(
                public_key=key.base64,
                account=account_id(key.raw),
                key_id=name,
                status="active",
                added_ms=now_ms,
            ),
            grant_micro=grant,
        )
        return self.known(key.base64)

    def known(self, public_key: str) -> TrustedKey:
        """The record of a key; raises `NotFoundError`."""
        key = self._store.trusted_key(public_key)
        if key is None:
            raise NotFoundError("this key was never trusted here", code="unknown_key", field="public_key")
        return key

    def revoke(self, public_key: str, *, now_ms: int) -> TrustedKey:
        """Take the trust back; jobs already accepted go on."""
        self.known(public_key)
        self._store.untrust(public_key, now_ms=now_ms)
        return self.known(public_key)

    def all(self) -> Sequence[TrustedKey]:
        """Every key that was ever trusted, revoked ones included."""
        return self._store.trusted_keys()

    def balance(self, account: str) -> tuple[int, int, int]:
        """Available, held and pending micro-credits of an account."""
        return self._store.balance(account)


def require_trusted(store: KeyStore, public_key: PublicKey) -> TrustedKey:
    """Key standing, spec/http 4.1.3: raises `ForbiddenError` with `key_not_trusted` or `key_revoked`."""
    key = store.trusted_key(public_key.base64)
    if key is None:
        raise ForbiddenError(
            "the key that signed this job is not trusted here",
            code="key_not_trusted",
            field="public_key",
            hint=f"the operator can run `hivemark keys trust {public_key.base64}`",
        )
    if key.status != "active":
        raise ForbiddenError(
            "the key that signed this job was revoked", code="key_revoked", field="public_key"
        )
    return key

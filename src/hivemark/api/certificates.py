"""Whom a connection by TLS is believed: the pinned authority, or what the system trusts (spec/link 1)."""

import ssl
from pathlib import Path
from typing import Final

from hivemark.errors import InvalidError, UnverifiedError

AUTHORITY_PATH: Final = "/.well-known/hivemark-ca"
"""The coordinator's own authority, for whoever knows its fingerprint; nothing secret."""
AUTHORITY_NAME: Final = "ca.pem"

_EXPIRED: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 64})


def pinned_context(path: Path) -> ssl.SSLContext:
    """Trusts the authority in this file and no other; raises `InvalidError` when it holds none."""
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(
            f"{path} holds no certificate", code="authority_unreadable", hint="join again with a new link"
        ) from error


def unverified_context() -> ssl.SSLContext:
    """Believes anybody: only to fetch what is then compared with a fingerprint."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificate_refused(error: ssl.SSLCertVerificationError) -> UnverifiedError:
    """What was wrong with a certificate, and what to do about it."""
    if error.verify_code in _EXPIRED:
        return UnverifiedError(
            "the coordinator's certificate has expired, or one of the two clocks is wrong",
            code="certificate_expired",
            hint="restart the coordinator, which renews it; compare the clocks",
        )
    if error.verify_code in _OTHER_NAME:
        return UnverifiedError(
            f"the coordinator's certificate is for another name: {error.verify_message}",
            code="certificate_for_another_name",
            hint="use the address in the join link, or add this one to tls_names of the coordinator",
        )
    return UnverifiedError(
        f"the coordinator's certificate is from no authority that is trusted here: {error.verify_message}",
        code="certificate_untrusted",
        hint="if the coordinator was set up anew, join again with a new link; else do not go on",
    )

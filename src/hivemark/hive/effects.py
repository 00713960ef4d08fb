"""What `HiveCore` asks its shell to do; values, carried out in the order given."""

from dataclasses import dataclass

from hivemark.api.link import Lease


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send this text on the link."""

    text: bytes


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close the connection, then tell the core by `closed`."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Connect again after this many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The coordinator will never have this hive again; end with this reason."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run this lease. Answer by `attempt_started`, then `attempt_finished` or `attempt_declined`."""

    lease: Lease
    grant_sha256: str
    session_token: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """End this attempt and make no receipt; no answer is expected."""

    attempt: str


@dataclass(frozen=True, slots=True)
class CutAttempt:
    """End this attempt early and sign for what there is; its answer comes as for `StartAttempt`."""

    attempt: str
    code: str


@dataclass(frozen=True, slots=True)
class PostResult:
    """Post the result that waits in the outbox. Answer by one of the core's `result_…` methods."""

    attempt: str
    url: str
    session_token: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """The result needs no more delivery: it was acknowledged (or is not wanted)."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ShelveResult:
    """The coordinator will never take this result; keep it for people, deliver it no more."""

    attempt: str
    code: str


Effect = (
    SendFrame
    | CloseLink
    | Reconnect
    | GiveUp
    | StartAttempt
    | StopAttempt
    | CutAttempt
    | PostResult
    | ForgetResult
    | ShelveResult
)

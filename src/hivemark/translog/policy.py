"""The policy a verifier pins: C2SP tlog-policy plus the network's service key (spec/policy).

The two lines that are ours are comments to every other reader of tlog-policy files.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hivemark.errors import InvalidError, UnverifiedError
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.keys import PublicKey
from hivemark.translog.checkpoint import Checkpoint, parse_checkpoint
from hivemark.translog.note import (
    KeyType,
    VerifiedSignature,
    VerifierKey,
    parse_note,
    parse_vkey,
    verify_note,
)

HEADER: Final = "# hivemark-policy v1"
SERVICE: Final = "# hivemark-service "
NO_QUORUM: Final = "none"
POLICY_BYTES_MAX: Final = 65_536
NAMES_MAX: Final = 256
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Log:
    """A log whose checkpoints are accepted; its key's name is its origin."""

    verifier: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness under the name that groups and the quorum use."""

    name: str
    verifier: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Satisfied when `threshold` of its members are."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedCheckpoint:
    """A checkpoint of a listed log that satisfies the quorum, with the cosignatures that held."""

    checkpoint: Checkpoint
    log: Log
    cosignatures: tuple[VerifiedSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom a verifier trusts: the logs, the witnesses and their quorum, the service key of one network."""

    network: str
    service_key: PublicKey
    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NO_QUORUM
    raw: bytes = field(default=b"", compare=False)

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of the file's SHA-256; what people compare by eye."""
        raw = self.raw or encode_policy(self)
        return "SHA256:" + encode_base64(hashlib.sha256(raw).digest()).rstrip("=")

    def verify_checkpoint(self, raw: bytes) -> CheckedCheckpoint:
        """The checkpoint when a listed log signed it and the quorum cosigned it (spec/policy 3).

        Raises `InvalidError` for its form, `UnverifiedError` with code `log_unknown`,
        `note_signature_invalid` or `quorum_missing`.
        """
        note = parse_note(raw)
        checkpoint = parse_checkpoint(note.text)
        logs = {log.verifier: log for log in self.logs if log.verifier.name == checkpoint.origin}
        witnesses = {witness.verifier: witness.name for witness in self.witnesses}
        verified = verify_note(note, [*logs, *witnesses])
        signers = [logs[item.verifier] for item in verified if item.verifier in logs]
        if not signers:
            raise UnverifiedError(f"no listed log signed for {checkpoint.origin}", code="log_unknown")
        cosignatures = tuple(item for item in verified if item.verifier in witnesses)
        self._require_quorum({witnesses[item.verifier] for item in cosignatures})
        return CheckedCheckpoint(checkpoint, signers[0], cosignatures)

    def is_satisfied_by(self, witness_names: Iterable[str]) -> bool:
        """Whether cosignatures of these witnesses make the quorum."""
        satisfied = {NO_QUORUM, *witness_names}
        for group in self.groups:  # members stand before their group
            if len(satisfied.intersection(group.members)) >= group.threshold:
                satisfied.add(group.name)
        return self.quorum in satisfied

    def _require_quorum(self, witness_names: set[str]) -> None:
        if not self.is_satisfied_by(witness_names):
            raise UnverifiedError(
                f"the quorum {self.quorum} is not met by {sorted(witness_names) or 'no witness'}",
                code="quorum_missing",
            )


def encode_policy(policy: Policy) -> bytes:
    """The text that `hivemark` writes; others may order and space it differently."""
    lines = [HEADER, f"{SERVICE}{policy.network} {policy.service_key.base64}"]
    lines += [_line("log", log.verifier, log.url) for log in policy.logs]
    lines += [_line("witness", witness.name, witness.verifier, witness.url) for witness in policy.witnesses]
    lines += [_line("group", group.name, group.threshold, *group.members) for group in policy.groups]
    lines.append(f"quorum {policy.quorum}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def parse_policy(raw: bytes) -> Policy:
    """Raises `InvalidError` with code `policy_malformed` and the line in `field`."""
    text = _decode(raw)
    lines = text[:-1].split("\n")
    if lines[0] != HEADER:
        raise _malformed(1, f"expected {HEADER!r}")
    draft = _Draft()
    for number, line in enumerate(lines, start=1):
        if line.startswith(SERVICE):
            draft.read_service(number, line)
        items = re.split(r"[ \t]+", line.strip(" \t"))
        if items != [""] and not items[0].startswith("#"):
            draft.read_line(number, items)
    return draft.finish(raw, len(lines))


class _Draft:
    """A policy while its lines are read; every name is defined before it is used."""

    def __init__(self) -> None:
        self.service: tuple[str, PublicKey] | None = None
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self.names: set[str] = set()
        self.members: set[str] = set()

    def read_service(self, number: int, line: str) -> None:
        parts = line.removeprefix(SERVICE).split(" ")
        if self.service is not None or len(parts) != 2 or not parts[0]:
            raise _malformed(number, "expected one line with network and service key")
        self.service = parts[0], _key(number, parts[1])

    def read_line(self, number: int, items: Sequence[str]) -> None:
        readers: Mapping[str, Callable[[int, Sequence[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        if items[0] not in readers:
            raise _malformed(number, f"unknown keyword {items[0]!r}")
        readers[items[0]](number, items[1:])

    def finish(self, raw: bytes, last: int) -> Policy:
        if self.service is None:
            raise _malformed(last, f"the line {SERVICE.strip()!r} is missing")
        if self.quorum is None:
            raise _malformed(last, "the quorum line is missing")
        if not self.logs:
            raise _malformed(last, "no log is listed")
        return Policy(
            network=self.service[0],
            service_key=self.service[1],
            logs=tuple(self.logs),
            witnesses=tuple(self.witnesses),
            groups=tuple(self.groups),
            quorum=self.quorum,
            raw=raw,
        )

    def _log(self, number: int, items: Sequence[str]) -> None:
        if len(items) not in (1, 2):
            raise _malformed(number, "expected log <vkey> [<url>]")
        verifier = _vkey(number, items[0], KeyType.ED25519)
        if any(log.verifier.key == verifier.key for log in self.logs):
            raise _malformed(number, "this log's key stands twice")
        self.logs.append(Log(verifier, items[1] if len(items) == 2 else None))

    def _witness(self, number: int, items: Sequence[str]) -> None:
        if len(items) not in (2, 3):
            raise _malformed(number, "expected witness <name> <vkey> [<url>]")
        self._define(number, items[0])
        verifier = _vkey(number, items[1], KeyType.COSIGNATURE)
        if any(witness.verifier.key == verifier.key for witness in self.witnesses):
            raise _malformed(number, "this witness's key stands twice")
        self.witnesses.append(Witness(items[0], verifier, items[2] if len(items) == 3 else None))

    def _group(self, number: int, items: Sequence[str]) -> None:
        if len(items) < 3:
            raise _malformed(number, "expected group <name> <all|any|k> <members>")
        name, rule, *members = items
        for member in members:
            if member not in self.names or member in self.members:
                raise _malformed(number, f"{member!r} is not defined above, or a member already")
            self.members.add(member)
        self._define(number, name)
        self.groups.append(Group(name, _threshold(number, rule, len(members)), tuple(members)))

    def _quorum(self, number: int, items: Sequence[str]) -> None:
        if self.quorum is not None or len(items) != 1:
            raise _malformed(number, "expected one line quorum <name>")
        if items[0] != NO_QUORUM and items[0] not in self.names:
            raise _malformed(number, f"{items[0]!r} is not defined above")
        self.quorum = items[0]

    def _define(self, number: int, name: str) -> None:
        if name == NO_QUORUM or name in self.names or len(self.names) >= NAMES_MAX:
            raise _malformed(number, f"the name {name!r} is taken, or one too many")
        self.names.add(name)


def _decode(raw: bytes) -> str:
    # Octets above 0x7F are opaque to tlog-policy; surrogateescape keeps them apart without judging them.
    text = raw.decode("utf-8", "surrogateescape")
    if len(raw) > POLICY_BYTES_MAX or not text.endswith("\n") or _FORBIDDEN.search(text):
        raise InvalidError(
            f"expected lines of text, at most {POLICY_BYTES_MAX} bytes", code="policy_malformed"
        )
    return text


def _threshold(number: int, rule: str, count: int) -> int:
    words = {"any": 1, "all": count}
    if rule in words:
        return words[rule]
    if re.fullmatch(r"[1-9][0-9]{0,3}", rule) is None or int(rule) > count:
        raise _malformed(number, f"expected all, any or a number from 1 to {count}")
    return int(rule)


def _vkey(number: int, text: str, expected: KeyType) -> VerifierKey:
    try:
        verifier = parse_vkey(text)
    except (InvalidError, UnicodeEncodeError) as error:
        raise _malformed(number, f"not a usable vkey: {error}") from error
    if verifier.type is not expected:
        raise _malformed(number, f"expected a key of type {expected:#04x}")
    return verifier


def _key(number: int, text: str) -> PublicKey:
    try:
        return PublicKey.from_base64(text)
    except InvalidError as error:
        raise _malformed(number, error.message) from error


def _line(*items: object) -> str:
    return " ".join(str(item) for item in items if item is not None)


def _malformed(number: int, message: str) -> InvalidError:
    return InvalidError(message, code="policy_malformed", field=f"line {number}")

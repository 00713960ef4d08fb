"""The link between a hive and a coordinator: every message of docs/spec/link.md, as both sides import it.

One outbound WebSocket per hive carries these as JSON text frames. The handshake (`Hello`, `Challenge`,
`Proof`, `Welcome` or `Refused`) goes bare; after it every message travels in a `Frame` with the epoch of
the connection, a sequence number and an acknowledgement (rules: `fleet/channel.py`). Results do not flow
here: each attempt has its own outbound POST (`ResultFrame`) to the `result_url` of its lease.

Times are Unix milliseconds (UTC), durations seconds, digests lower-case hex, keys and signatures base64.
Unknown members are refused on both sides: a new member is a new protocol version.
"""

from typing import Annotated, Any, Literal

import msgspec

PROTOCOL_VERSION = 1
LINK_PATH = "/api/v1/link"
ENROL_PATH = "/api/v1/hives/enrol"
RESULT_PATH = "/api/v1/link/attempts/{attempt}/result"
FRAME_BYTES_MAX = 1_048_576
RESULT_BYTES_MAX = 8_388_608
DECLINED_MESSAGE_CHARS_MAX = 1_024
OUTPUT_BYTES_PER_TOKEN_MAX = 1_024
"""No vocabulary has longer tokens; an output longer than that times `max_tokens` is not of this request."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """Base of everything on the wire; `type` tells which."""


# ── handshake ────────────────────────────────────────────────────────────────────────────────────


class Hello(Message, frozen=True, tag="hello"):
    """Hive → coordinator, first. `nonce` is base64 of 32 random bytes."""

    protocol: int
    hive: str
    public_key: str
    nonce: str
    software: str


class Challenge(Message, frozen=True, tag="challenge"):
    """Coordinator → hive: the service key signs the transcript (docs/spec/link 2.3)."""

    network: str
    service_key: str
    nonce: str
    signature: str


class Proof(Message, frozen=True, tag="proof"):
    """Hive → coordinator: the hive key signs the same transcript under its own domain."""

    signature: str


class Welcome(Message, frozen=True, tag="welcome"):
    """Coordinator → hive: the link stands. `session_token` authorises this epoch's result POSTs."""

    epoch: int
    session_token: str
    heartbeat_s: float
    lease_ttl_s: float
    now_ms: int


class Refused(Message, frozen=True, tag="refused"):
    """Coordinator → hive, instead of any of the above; the connection closes. Codes: `unknown_hive`,
    `revoked`, `handshake_failed`, `protocol_unsupported`, `maintenance`."""

    code: str
    message: str
    retryable: bool


# ── hive → coordinator ───────────────────────────────────────────────────────────────────────────


class OfferedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model this hive can serve. `weights_sha256` is None for engines that tell none (`unpinned`)."""

    name: str
    weights_sha256: str | None
    engine: str
    quantisation: str | None = None
    context_tokens: int | None = None
    bytes: int | None = None
    loaded: bool = False


class Offer(Message, frozen=True, tag="offer"):
    """What the hive can do; sent after each welcome and whenever it changes."""

    name: str
    region: str | None
    slots: int
    models: tuple[OfferedModel, ...]
    devices: tuple[str, ...] = ()
    simulated: tuple[str, ...] = ()


class HeldAttempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An attempt the hive still works on, or whose result waits in its outbox."""

    attempt: str
    lease_version: int
    finished: bool


class Reconcile(Message, frozen=True, tag="reconcile"):
    """First message after a welcome: everything the hive holds. The answer is `Verdicts`."""

    held: tuple[HeldAttempt, ...]


class Started(Message, frozen=True, tag="started"):
    """The engine has begun this attempt."""

    attempt: str
    lease_version: int


class Declined(Message, frozen=True, tag="declined"):
    """The hive gives a lease back without having run anything."""

    attempt: str
    lease_version: int
    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}\Z", max_length=48)]
    message: Annotated[str, msgspec.Meta(max_length=DECLINED_MESSAGE_CHARS_MAX)]


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """Every `heartbeat_s`; renews the lease of every attempt it names."""

    held: tuple[HeldAttempt, ...]
    load: float | None = None


# ── coordinator → hive ───────────────────────────────────────────────────────────────────────────


class Lease(Message, frozen=True, tag="lease"):
    """Permission and duty to run one attempt until `lease_until_ms` (renewed by heartbeats).

    `grant` is the signed value (`protocol/grant.py`), `request` the effective request: `{model, messages,
    sampling{temperature, top_p, max_tokens, stop}, seed, question}`; its `model` is None for `noop`, and a
    call of an OpenAI endpoint has `call{endpoint, body, salt}` besides. With a `stream_url` a client waits
    for the answer: it is streamed there (part 7), and ends once nobody listens.
    """

    job: str
    execution: str
    attempt: str
    lease_version: int
    lease_until_ms: int
    grant: dict[str, Any]
    grant_signature: str
    request: dict[str, Any]
    result_url: str
    first_token_timeout_s: float
    stall_timeout_s: float
    run_timeout_s: float
    stream_url: str | None = None


class Verdicts(Message, frozen=True, tag="verdicts"):
    """Which held attempts go on and which stop: the answer to `Reconcile`, and to a heartbeat that names
    an attempt whose lease has moved."""

    proceed: tuple[str, ...]
    drop: tuple[str, ...]


class Cancel(Message, frozen=True, tag="cancel"):
    """Stop this attempt; no receipt is wanted."""

    attempt: str


class Drain(Message, frozen=True, tag="drain"):
    """Finish what runs, expect no more leases (`on`), or expect them again (not `on`)."""

    on: bool


HiveMessage = Offer | Reconcile | Started | Declined | Heartbeat
CoordinatorMessage = Lease | Verdicts | Cancel | Drain
HandshakeMessage = Hello | Challenge | Proof | Welcome | Refused


class HiveFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hive → coordinator: `seq` counts from 1 in each epoch, `ack` is the highest seq seen in order."""

    epoch: int
    seq: int
    ack: int
    body: HiveMessage


class CoordinatorFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Coordinator → hive."""

    epoch: int
    seq: int
    ack: int
    body: CoordinatorMessage


# ── results ──────────────────────────────────────────────────────────────────────────────────────


class Disclosure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the commitments of a receipt hide, with the salts (base64 of 32 bytes) that open them."""

    request_salt: str
    output: str | None = None
    output_salt: str | None = None
    token_ids: tuple[int, ...] | None = None
    token_ids_salt: str | None = None
    question_salt: str | None = None


class ResultFrame(Message, frozen=True, tag="result"):
    """The last frame of an attempt's POST: the signed receipt (DSSE envelope, base64) and what opens it.

    Delivered at least once; the coordinator recognises a repeated envelope by its digest.
    """

    attempt: str
    lease_version: int
    envelope: str
    disclosure: Disclosure


class ResultAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`outcome`: `accepted`, `late` (logged, never paid), `duplicate`; the hive then forgets the receipt."""

    attempt: str
    outcome: Literal["accepted", "late", "duplicate"]


class Enrol(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /api/v1/hives/enrol`; `signature` is the hive key's over the value without it."""

    token: str
    hive: str
    public_key: str
    name: str
    region: str | None
    signature: str


class Enrolled(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Answer to `Enrol`: what the hive pins from now on. `policy` is the text of the policy file."""

    hive: str
    network: str
    service_key: str
    policy: str

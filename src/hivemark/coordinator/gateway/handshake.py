"""The coordinator's side of the link's handshake, without I/O (docs/spec/link 2)."""

from hivemark.api.handshake import NONCE_BYTES, Transcript, require_nonce
from hivemark.api.link import PROTOCOL_VERSION, Challenge, Hello, Proof
from hivemark.coordinator.service.identity import Identity, Random
from hivemark.errors import ForbiddenError
from hivemark.protocol.base64strict import encode_base64


class ServiceHandshake:
    """One handshake: `challenge` on the hello, then `verify` on the proof."""

    def __init__(self, hello: Hello, *, identity: Identity, random: Random) -> None:
        if hello.protocol != PROTOCOL_VERSION:  # 2.1
            raise ForbiddenError(
                f"protocol {hello.protocol} is not spoken here, {PROTOCOL_VERSION} is",
                code="protocol_unsupported",
                hint="bring hive and coordinator to the same version",
            )
        self._identity = identity
        self._transcript = Transcript(
            network=identity.network,
            hive=hello.hive,
            hive_key=hello.public_key,
            service_key=identity.service_key.public.base64,
            hive_nonce=require_nonce(hello.nonce),
            service_nonce=encode_base64(random(NONCE_BYTES)),
            protocol=PROTOCOL_VERSION,
        )

    @property
    def hive(self) -> str:
        """The id that the hive claims until `verify` has returned."""
        return self._transcript.hive

    def challenge(self) -> Challenge:
        """2.2: the coordinator proves itself first."""
        return Challenge(
            network=self._identity.network,
            service_key=self._transcript.service_key,
            nonce=self._transcript.service_nonce,
            signature=self._transcript.sign("service", self._identity.service_key),
        )

    def verify(self, proof: Proof) -> str:
        """2.5: the id of the hive whose key signed this handshake; raises when it did not."""
        self._transcript.verify("hive", proof.signature)
        return self._transcript.hive

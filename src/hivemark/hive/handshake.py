"""The hive's side of the link's handshake, without I/O (docs/spec/link 2)."""

from collections.abc import Callable

from hivemark.api.handshake import NONCE_BYTES, Transcript, require_nonce
from hivemark.api.link import PROTOCOL_VERSION, Challenge, Hello, Proof
from hivemark.errors import UnverifiedError
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.ids import hive_id
from hivemark.protocol.keys import PrivateKey, PublicKey


class HiveHandshake:
    """One handshake: `hello`, then `prove` on the challenge. A new connection needs a new one."""

    def __init__(
        self,
        *,
        key: PrivateKey,
        service_key: PublicKey,
        network: str,
        software: str,
        random: Callable[[int], bytes],
    ) -> None:
        self._key = key
        self._service_key = service_key
        self._network = network
        self._software = software
        self._nonce = encode_base64(random(NONCE_BYTES))

    def hello(self) -> Hello:
        """2.1."""
        public = self._key.public
        return Hello(
            protocol=PROTOCOL_VERSION,
            hive=hive_id(public.raw),
            public_key=public.base64,
            nonce=self._nonce,
            software=self._software,
        )

    def prove(self, challenge: Challenge) -> Proof:
        """2.4: the hive's signature, only after the coordinator's held under the pinned service key."""
        if challenge.network != self._network:
            raise UnverifiedError(
                f"this is network {challenge.network}, the hive belongs to {self._network}",
                code="network_mismatch",
            )
        if challenge.service_key != self._service_key.base64:
            raise UnverifiedError("this is not the pinned service key", code="service_key_mismatch")
        transcript = Transcript(
            network=self._network,
            hive=hive_id(self._key.public.raw),
            hive_key=self._key.public.base64,
            service_key=challenge.service_key,
            hive_nonce=self._nonce,
            service_nonce=require_nonce(challenge.nonce),
            protocol=PROTOCOL_VERSION,
        )
        transcript.verify("service", challenge.signature)
        return Proof(signature=transcript.sign("hive", self._key))

"""What makes a submission a repetition: its idempotency key, its id, its nonce, each per signer."""

from typing import Final

from sqlalchemy import Connection, bindparam, select

from hivemark.coordinator.store.tables import jobs, nonces
from hivemark.errors import ConflictError, UnsatisfiableError

_SAME_KEY: Final = select(jobs.c.id, jobs.c.body_sha256).where(
    jobs.c.signer == bindparam("by"), jobs.c.idempotency_key == bindparam("idempotency")
)
_SAME_ID: Final = select(jobs.c.id).where(
    jobs.c.signer == bindparam("by"), jobs.c.spec_id == bindparam("spec")
)
_SAME_NONCE: Final = select(nonces.c.nonce).where(
    nonces.c.signer == bindparam("by"), nonces.c.nonce == bindparam("once")
)


def replayed(
    connection: Connection, *, signer: str, idempotency_key: str | None, body_sha256: str
) -> str | None:
    """The job that this key had made with this body; None for a new key or none at all."""
    if idempotency_key is None:
        return None
    values = {"by": signer, "idempotency": idempotency_key}
    earlier = connection.execute(_SAME_KEY, values).one_or_none()
    if earlier is None:
        return None
    if earlier.body_sha256 != body_sha256:
        raise UnsatisfiableError(
            "this idempotency key was used with another body",
            code="idempotency_key_reused",
            field="Idempotency-Key",
        )
    return str(earlier.id)


def require_unused(connection: Connection, *, signer: str, spec_id: str, nonce: str) -> None:
    """Raises `ConflictError`: `job_id_taken`, then `nonce_repeated`."""
    if connection.execute(_SAME_ID, {"by": signer, "spec": spec_id}).first() is not None:
        message = f"this key has submitted a job with the id {spec_id} before"
        raise ConflictError(message, code="job_id_taken", field="id")
    if connection.execute(_SAME_NONCE, {"by": signer, "once": nonce}).first() is not None:
        raise ConflictError("this nonce was used before", code="nonce_repeated", field="metadata.nonce")

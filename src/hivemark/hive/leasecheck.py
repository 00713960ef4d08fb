"""May this hive run this lease? All it says has to be what the coordinator signed (docs/spec/link 4)."""

import hashlib

from hivemark.api.link import Lease, Offer
from hivemark.errors import HivemarkError
from hivemark.hive.request import EffectiveRequest, parse_request
from hivemark.protocol.canonical import encode_canonical
from hivemark.protocol.grant import Grant, parse_grant, verify_grant
from hivemark.protocol.keys import PublicKey


class LeaseRefused(HivemarkError):
    """The lease goes back to the coordinator; `code` says why."""


def require_runnable(lease: Lease, *, hive: str, network: str, service_key: PublicKey, offer: Offer) -> str:
    """The digest of the grant; raises `LeaseRefused` for a lease that must not be run."""
    try:
        signed = parse_grant({"grant": lease.grant, "signature": lease.grant_signature})
        grant = verify_grant(signed, service_key)
        request = parse_request(lease.request)
        digest = hashlib.sha256(encode_canonical(lease.request)).hexdigest()
    except HivemarkError as error:
        raise LeaseRefused(str(error), code=error.code) from error
    _require_same(grant, lease, hive=hive, network=network)
    if grant.request_sha256 != digest or grant.seed != request.seed or grant.model != request.model:
        raise LeaseRefused("the grant is for another request", code="grant_mismatch")
    _require_offered(request, offer)
    return signed.grant_sha256


def _require_same(grant: Grant, lease: Lease, *, hive: str, network: str) -> None:
    granted = (grant.network, grant.job, grant.execution, grant.attempt, grant.lease_version, grant.hive)
    leased = (network, lease.job, lease.execution, lease.attempt, lease.lease_version, hive)
    if granted != leased:
        raise LeaseRefused("the grant is for another lease", code="grant_mismatch")


def _require_offered(request: EffectiveRequest, offer: Offer) -> None:
    """A pinned model by its digest, an unpinned one by its name; never a substitute."""
    model = request.model
    if model is None:
        return
    for offered in offer.models:
        if offered.name == model.name and model.weights_sha256 in (None, offered.weights_sha256):
            return
        if model.weights_sha256 is not None and offered.weights_sha256 == model.weights_sha256:
            return
    raise LeaseRefused(f"model {model.name} is not offered here now", code="model_not_offered")

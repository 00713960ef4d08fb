"""Who this coordinator is: its network, its keys and the policy that others pin."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hivemark.protocol.keys import PrivateKey

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Identity:
    """`operator` is the account whose signature carries the admin role on this network."""

    network: str
    origin: str
    operator: str
    policy: str
    service_key: PrivateKey = field(repr=False)
    log_key: PrivateKey = field(repr=False)

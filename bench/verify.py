"""How fast one process checks bundles offline, against the bare Ed25519 verifications they contain.

    python bench/verify.py FOLDER --policy FILE [--rounds N]

FOLDER holds bundles, for example what `hivemark demo --home DIR` leaves in DIR/demo-…/receipts. Prints one
JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from hivemark.client.verify import verify_documents
from hivemark.protocol.keys import PrivateKey
from hivemark.translog.policy import parse_policy

SIGNATURES_A_BUNDLE = 4  # checkpoint, acceptance, receipt, JobSpec


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    documents = [(path.name, path.read_bytes()) for path in sorted(chosen.folder.glob("*.json"))]
    policy = parse_policy(chosen.policy.read_bytes())
    seconds = []
    for _ in range(chosen.rounds):
        start = time.perf_counter()
        results = verify_documents(documents, policy)
        seconds.append(time.perf_counter() - start)
        unverified = [result.name for result in results if not result.is_verified]
        if unverified or not results:
            sys.exit(f"not verified: {unverified or 'there are no bundles'}")
    each = statistics.median(seconds) / len(documents)
    limit = SIGNATURES_A_BUNDLE * bare_verification_s()
    json.dump(
        {
            "bundles": len(documents),
            "seconds": round(statistics.median(seconds), 4),
            "bundles_per_s": round(1 / each, 1),
            "limit": f"{SIGNATURES_A_BUNDLE} bare Ed25519 verifications a bundle",
            "ratio_to_limit": round(limit / each, 3),
        },
        sys.stdout,
        indent=2,
    )
    print()


def bare_verification_s(rounds: int = 500) -> float:
    """Seconds of one verification by the crypto library alone, without our checks before it."""
    key = PrivateKey.from_seed(bytes(range(32)))
    message = os.urandom(1_500)
    signature = key.sign(message)
    curve_key = key.public._curve_key
    start = time.perf_counter()
    for _ in range(rounds):
        curve_key.verify(signature, message)
    return (time.perf_counter() - start) / rounds


if __name__ == "__main__":
    main()

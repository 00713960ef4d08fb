"""Whom a verification trusts: the policy that was given, or the one pinned in this home."""

from pathlib import Path

import typer

from hivemark.cli.exits import EXIT_USAGE, fail
from hivemark.cli.home import Home
from hivemark.client.sdk import HivemarkClient
from hivemark.translog.policy import Policy, parse_policy


def pinned_policy(home: Home, given: Path | None) -> Policy | None:
    """The policy that was given, else the one pinned in this home, else None."""
    path = given or home.policy
    return parse_policy(path.read_bytes()) if path.exists() else None


async def ensure_policy(home: Home, client: HivemarkClient, given: Path | None, *, yes: bool) -> Policy:
    """As `pinned_policy`; when there is none, ask whether to pin what the network tells.

    Pinned only after its fingerprint was shown and accepted, by a person or by `--yes`: whoever controls the
    connection at this moment could name keys of his own.
    """
    policy = pinned_policy(home, given)
    if policy is not None:
        return policy
    text = await client.policy_text()
    policy = parse_policy(text.encode())
    typer.echo(f"first contact with {client.base_url}: its policy is {policy.fingerprint}", err=True)
    if not yes and not typer.confirm("Is that the fingerprint its operator told you?", err=True):
        fail(
            "the policy was not pinned, so nothing can be verified",
            next_command="compare the fingerprint with the operator, then repeat with --yes",
            code=EXIT_USAGE,
        )
    home.ensure_folders()
    with home.policy.open("x", encoding="utf-8") as file:
        file.write(text)
    return policy

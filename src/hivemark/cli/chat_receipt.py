"""The receipt of an answer in words, and what checking it shows and does not show."""

from collections.abc import Iterator

from hivemark.cli.output import Output
from hivemark.client.chatproof import CheckedAnswer, HeldTexts, verify_answer
from hivemark.client.verify import Verdict
from hivemark.errors import InvalidError
from hivemark.protocol.acceptance import Acceptance, parse_acceptance
from hivemark.protocol.bundle import parse_bundle
from hivemark.protocol.entry import AttemptEntry, parse_entry
from hivemark.protocol.receipt import Receipt, parse_receipt
from hivemark.translog.policy import Policy

_TEXT_NAMES = {"request": "what you asked", "output": "the text you read"}


def show_receipt(raw: bytes, output: Output) -> None:
    """What hive and coordinator say of the answer; nothing of it is checked here."""
    for label, text in receipt_lines(raw):
        output.say(f"  {label:<10}  {text}")
    output.say("  as the two signed it, not checked here; /verify checks it", style="dim")


def receipt_lines(raw: bytes) -> Iterator[tuple[str, str]]:
    """Label and words for each thing that a bundle's two statements say."""
    entry = parse_entry(parse_bundle(raw).entry)
    if not isinstance(entry, AttemptEntry):
        raise InvalidError("the bundle is not about an attempt", code="entry_malformed")
    acceptance = parse_acceptance(entry.acceptance.payload)
    yield from _of_acceptance(acceptance)
    if entry.receipt is None:
        yield "receipt", f"the hive gave none: {acceptance.absent.get('receipt_sha256')}"
        return
    yield from _of_receipt(parse_receipt(entry.receipt.payload))


def _of_acceptance(acceptance: Acceptance) -> Iterator[tuple[str, str]]:
    yield "execution", f"{acceptance.execution}, attempt {acceptance.number}"
    yield "network", acceptance.network
    yield "outcome", f"{acceptance.outcome} at {acceptance.times.finished}"
    if acceptance.delivered is not None:
        yield "delivered", f"{acceptance.delivered.bytes} bytes of text"
    region = acceptance.region
    yield "region", f"{region.claimed} ({region.level})" if region.claimed else "none was claimed"


def _of_receipt(receipt: Receipt) -> Iterator[tuple[str, str]]:
    yield "computed by", f"{receipt.hive.id} in {receipt.times.duration_us / 1e6:.2f} s, {receipt.outcome}"
    if receipt.model is not None:
        weights = receipt.model.weights_sha256
        yield "model", f"{receipt.model.name}, " + (f"weights {weights[:16]}…" if weights else "unpinned")
    engine = receipt.engine
    yield "engine", " ".join(part for part in (engine.name, engine.version, engine.backend) if part)
    sampling = receipt.sampling
    yield "sampling", f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, seed {receipt.seed}"
    if receipt.usage is not None:
        yield "tokens", f"{receipt.usage.prompt_tokens} read, {receipt.usage.completion_tokens} written"
    if receipt.failure is not None:
        yield "failure", f"{receipt.failure.message} ({receipt.failure.code})"
    yield "text", "none of it stands in the receipt, only salted commitments to it"


def check_answer(raw: bytes, policy: Policy | None, held: HeldTexts, output: Output) -> Verdict:
    """Verify offline, and say what held, what it shows, and what it does not; raises `UnverifiedError`."""
    checked = verify_answer(raw, policy, held)
    verdict = checked.verdict
    for check in verdict.checks:
        output.say(f"  ✓ {check.name:<12} {check.detail}")
    for level in verdict.levels:
        output.say(f"  shown: {level}")
    for line in not_shown(checked):
        output.say(f"  not shown: {line}", style="dim")
    return verdict


def not_shown(checked: CheckedAnswer) -> Iterator[str]:
    """What a reader could take for shown and is not."""
    if not checked.verdict.signers_known:
        yield "whose signatures these are: no policy is pinned here"
    for name in checked.not_compared:
        yield f"that {_TEXT_NAMES[name]} is what was signed for: nothing here opens that commitment"
    yield "that the answer is true, or that these very weights computed it"

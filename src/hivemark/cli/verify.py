"""`hivemark verify`: check receipts and signed jobs offline, from files alone."""

from pathlib import Path
from typing import Annotated, Final

import typer

from hivemark.cli.exits import EXIT_USAGE, fail
from hivemark.cli.home import Home
from hivemark.cli.options import HOME_DEFAULT, HomeOption, JsonOption, PolicyOption
from hivemark.cli.output import Output, open_output
from hivemark.cli.trust import pinned_policy
from hivemark.client.calltexts import Texts, output_of
from hivemark.client.verify import DocumentResult, Verdict, exit_code_of, verify_documents
from hivemark.protocol.bundle import BUNDLE_BYTES_MAX

app = typer.Typer(add_completion=False)

SUFFIXES: Final = (".json", ".ndjson")
SHOWN_IN_FULL_MAX: Final = 3


@app.command(
    epilog="Examples: hivemark verify receipts/ · hivemark verify one.json --policy their-policy · "
    "hivemark verify all.ndjson --json · hivemark verify chat.json --request body.json --answer answer.json"
)
def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Bundles, folders of bundles, NDJSON of bundles, signed JobSpecs.")
    ],
    policy: PolicyOption = None,
    request: Annotated[
        Path | None, typer.Option("--request", help="Of one call: the body as you posted it (JSON).")
    ] = None,
    answer: Annotated[
        Path | None,
        typer.Option("--answer", help="Of one call: what came back: JSON, a saved event stream, or text."),
    ] = None,
    home: HomeOption = HOME_DEFAULT,
    details: Annotated[bool, typer.Option("--details", "-d", help="Every check of every file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check everything without network or account; keys come from the pinned policy and nowhere else.

    The texts of OpenAI calls are kept by nobody but you: with --request and --answer what you hold is
    compared with what hive and service signed.

    Exit code 3 when a check fails, and also when everything is consistent but no policy says who signed.
    """
    trusted = pinned_policy(Home(home), policy)
    documents = [document for path in files for document in _read(path)]
    texts = _texts(request, answer)
    if texts is not None and len(documents) != 1:
        fail("--request and --answer belong to one bundle", next_command="name one file", code=EXIT_USAGE)
    results = verify_documents(documents, trusted, texts=texts)
    output = open_output(as_json=as_json)
    if not as_json:
        _show(results, output, details=details or len(results) <= SHOWN_IN_FULL_MAX)
    verified = sum(result.is_verified for result in results)
    output.result(
        {
            "verified": verified,
            "documents": len(results),
            "policy": None if trusted is None else trusted.fingerprint,
            "results": [result.to_json() for result in results],
        }
    )
    raise typer.Exit(exit_code_of(results))


def _texts(request: Path | None, answer: Path | None) -> Texts | None:
    if request is None and answer is None:
        return None
    try:
        body = None if request is None else request.read_bytes()
        return Texts(body=body, output=None if answer is None else output_of(answer.read_bytes()))
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}", code=EXIT_USAGE)


def _read(path: Path) -> list[tuple[str, bytes]]:
    """The documents of one argument, each with a name that a person can find again."""
    try:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
            if not inside:
                fail(f"there is no .json or .ndjson in {path}", code=EXIT_USAGE)
            return [document for each in inside for document in _read(each)]
        with path.open("rb") as file:
            raw = file.read() if path.suffix == ".ndjson" else file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", next_command="check the path", code=EXIT_USAGE)
    if path.suffix == ".ndjson":
        lines = [line for line in raw.splitlines() if line.strip()]
        return [(f"{path}:{number}", line) for number, line in enumerate(lines, start=1)]
    return [(str(path), raw)]


def _show(results: tuple[DocumentResult, ...], output: Output, *, details: bool) -> None:
    for result in results:
        if details or not result.is_verified:
            _show_one(result, output)
    verified = sum(result.is_verified for result in results)
    unknown = sum(1 for each in results if each.verdict is not None and not each.verdict.signers_known)
    refused = len(results) - verified - unknown
    parts = [f"{verified} of {len(results)} verified"]
    parts += [f"{unknown} consistent, signers unknown to you"] if unknown else []
    parts += [f"{refused} refused"] if refused else []
    output.say(", ".join(parts), style="green" if verified == len(results) else "red")
    if any(each.verdict is not None and _lacks_policy(each.verdict) for each in results):
        output.say("next: name the policy you trust with --policy, or pin one with `hivemark up` or `join`")


def _lacks_policy(verdict: Verdict) -> bool:
    """A JobSpec by itself never has one: no policy lists accounts, its reader knows the key or does not."""
    return not verdict.signers_known and verdict.kind == "bundle"


def _show_one(result: DocumentResult, output: Output) -> None:
    if result.error is not None:
        output.say(f"✗ {result.name}", style="red")
        output.say(f"    refused: {result.error} ({result.error.code})")
        return
    assert result.verdict is not None, "a result has a verdict or an error"
    mark, style = ("✓", "green") if result.is_verified else ("?", "yellow")
    output.say(f"{mark} {result.name}", style=style)
    _show_verdict(result.verdict, output)


def _show_verdict(verdict: Verdict, output: Output) -> None:
    for check in verdict.checks:
        output.say(f"    {check.name:<12} {check.detail}")
    for level in verdict.levels:
        output.say(f"    shown: {level}")
    if not verdict.signers_known:
        output.say("    consistent, signers unknown to you")

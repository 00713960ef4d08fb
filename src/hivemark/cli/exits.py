"""How a command ends: exit codes, and errors told as what happened, the facts, and what to do next."""

import errno
import json
import sys
import traceback
from typing import Final, NoReturn

import typer

from hivemark.cli.console import one_line
from hivemark.errors import ForbiddenError, HivemarkError, InvalidError, Kind, UnavailableError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNVERIFIED: Final = 3
EXIT_INTERRUPTED: Final = 130

# What to do next where the error itself has no hint; by code, then by kind.
NEXT_BY_CODE: Final = {
    "answer_timeout": "hivemark status, then hivemark logs coordinator",
    "api_key_revoked": "hivemark up makes a new key for this home; or set HIVEMARK_API_KEY",
    "balance_too_low": "lower --repeats or --max-tokens, or ask the operator for credits",
    "context_length_exceeded": "ask less at once, or /new in the chat; a lower --max-tokens also makes room",
    "coordinator_unreachable": "hivemark up (or name another one with --url)",
    "job_id_taken": "give the job another id (--id)",
    "key_file_exists": "hivemark keys show",
    "key_file_missing": "hivemark keys new",
    "key_not_trusted": "hivemark keys show; then on the coordinator's machine hivemark keys trust PUBLIC_KEY",
    "unknown_api_key": "hivemark api-keys ls --all",
    "model_not_found": "hivemark models ls",
    "no_model_offered": "hivemark status (is a hive linked?), then hivemark models ls",
    "stream_broken": "ask again (/retry in the chat); hivemark status",
    "unknown_model": "hivemark models ls",
    "unknown_question": "hivemark run --list-questions",
}
NEXT_BY_KIND: Final = {
    Kind.UNAUTHENTICATED: "hivemark keys show (which key signs here), or --home of another account",
    Kind.PAYMENT_REQUIRED: "ask the operator for credits, or use a key with a larger budget",
    Kind.UNVERIFIED: "do not use this result; fetch it again with hivemark jobs receipts JOB",
    Kind.UNAVAILABLE: "hivemark status",
    Kind.DEADLINE: "hivemark status",
    Kind.BAD_UPSTREAM: "hivemark doctor",
    Kind.INTERNAL: "hivemark doctor, then hivemark logs",
    Kind.OVER_LIMIT: "wait a little and try again",
}


def exit_code_of(error: HivemarkError) -> int:
    """3 when something did not verify, 1 for everything else that has a name."""
    return EXIT_UNVERIFIED if error.kind is Kind.UNVERIFIED else EXIT_FAILED


def next_step(error: HivemarkError) -> str | None:
    """The best advice there is: the error's own, then by code, then by kind."""
    return error.hint or NEXT_BY_CODE.get(error.code) or NEXT_BY_KIND.get(error.kind)


def system_error(error: OSError) -> HivemarkError:
    """What the operating system refused, as an error with a name: a full disk, somebody else's folder."""
    message = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(message, code="storage_full", hint="free some space, or use another --home")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ForbiddenError(message, code="not_permitted", hint="use a folder of your own: --home FOLDER")
    return InvalidError(message, code="system_refused", hint="check the path, and --home; hivemark doctor")


def report_error(error: HivemarkError, *, as_json: bool) -> None:
    """To people on stderr in two or three lines; with `--json` as one last object on stdout."""
    advice = next_step(error)
    if as_json:
        facts = {"code": error.code, "kind": error.kind, "message": error.message, "field": error.field}
        print(json.dumps({"error": {**facts, "next": advice}}, ensure_ascii=False), flush=True)
        return
    place = f"{error.field}: " if error.field else ""
    _print_error(f"{place}{error.message}", f"({error.code})")
    if advice:
        _print_next(advice)


def report_bug(error: Exception, *, as_json: bool) -> None:
    """A fault that has no name is ours: the trace goes to stderr, the object or the line after it."""
    traceback.print_exception(error, file=sys.stderr)
    if as_json:
        facts = {"code": "internal", "kind": Kind.INTERNAL, "message": f"{type(error).__name__}: {error}"}
        print(json.dumps({"error": facts}, ensure_ascii=False), flush=True)
        return
    _print_error(f"a fault in hivemark itself: {type(error).__name__}: {error}", "(internal)")
    _print_next("hivemark doctor; please report the lines above")


def fail(message: str, *, next_command: str | None = None, code: int = EXIT_FAILED) -> NoReturn:
    """End the command with one line of what happened and one of what to do."""
    _print_error(message, "")
    if next_command:
        _print_next(next_command)
    raise typer.Exit(code)


def _print_error(message: str, detail: str) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(one_line(f"{message} {detail}".rstrip()), err=True)


def _print_next(advice: str) -> None:
    typer.secho("next: ", fg="cyan", bold=True, nl=False, err=True)
    typer.echo(one_line(advice), err=True)

"""Options that several commands share, with one wording each."""

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

HOME_DEFAULT: Final = Path.home() / ".hivemark"

HomeOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="HIVEMARK_HOME",
        help="Where keys, data and logs lie.",
        show_default="~/.hivemark",
        file_okay=False,
        resolve_path=True,
    ),
]
UrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="HIVEMARK_URL", help="The coordinator's address; default: the one of this home."
    ),
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="One JSON object on stdout; progress goes to stderr.")
]
PolicyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        envvar="HIVEMARK_POLICY",
        help="Whom to trust; default: the policy pinned in this home.",
        exists=True,
        dir_okay=False,
    ),
]

"""`hivemark completion`: the lines that teach a shell to complete this command.

The shell asks this very program (`_HIVEMARK_COMPLETE` in its environment, answered by Typer), so that what is
completed is always what the installed version takes.
"""

from enum import StrEnum
from typing import Annotated, Final

import typer

from hivemark.cli.options import JsonOption
from hivemark.cli.output import open_output

app = typer.Typer(add_completion=False)

BASH: Final = """\
_hivemark() {
    local IFS=$'\\n'
    COMPREPLY=( $( COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
                   _HIVEMARK_COMPLETE=complete_bash "$1" 2>/dev/null ) )
}
complete -o default -F _hivemark hivemark
"""
ZSH: Final = """\
#compdef hivemark
_hivemark() {
    eval "$( _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \\
             _HIVEMARK_COMPLETE=complete_zsh hivemark 2>/dev/null )"
}
if [ "$funcstack[1]" = "_hivemark" ]; then _hivemark "$@"; else compdef _hivemark hivemark; fi
"""
FISH: Final = """\
complete --command hivemark --no-files --arguments "(env _HIVEMARK_COMPLETE=complete_fish \
_TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) hivemark 2>/dev/null)" \
--condition "env _HIVEMARK_COMPLETE=complete_fish \
_TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) hivemark 2>/dev/null"
"""


class Shell(StrEnum):
    """The shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final = {Shell.BASH: BASH, Shell.ZSH: ZSH, Shell.FISH: FISH}


@app.command(
    epilog="Examples: source <(hivemark completion bash) · hivemark completion bash > "
    "~/.local/share/bash-completion/completions/hivemark · hivemark completion fish > "
    "~/.config/fish/completions/hivemark.fish"
)
def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell.")], as_json: JsonOption = False
) -> None:
    """Print the lines with which a shell completes commands, options and the models on offer.

    For zsh put them into a file named _hivemark in a folder of your fpath, or source them after compinit.
    """
    if not as_json:
        typer.echo(SCRIPTS[shell], nl=False)
    open_output(as_json=as_json).result({"shell": shell, "script": SCRIPTS[shell]})

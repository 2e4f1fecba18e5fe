"""`ostler completion`: what a shell needs to complete commands and options, as a script without calls back."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from reconciler.cli.statuses import Status


class Shell(StrEnum):
    """Shells that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


HINTS = {
    Shell.BASH: "ostler completion bash > /etc/bash_completion.d/ostler",
    Shell.ZSH: "ostler completion zsh > /usr/local/share/zsh/site-functions/_ostler",
    Shell.FISH: "ostler completion fish > ~/.config/fish/completions/ostler.fish",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("completion")(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> int:
    """Print a completion script, for example: source <(ostler completion bash)."""
    from reconciler.cli.get import KINDS
    from reconciler.cli.main import COMMANDS, make_app

    words = dict(
        _words(typer.main.get_command(make_app(tuple(COMMANDS))), {"get": KINDS, "completion": tuple(Shell)})
    )
    script = {Shell.BASH: _bash, Shell.ZSH: _zsh, Shell.FISH: _fish}[shell](words)
    typer.echo(f"# {HINTS[shell]}\n{script}", nl=False)
    return Status.DONE


Words = dict[str, list[tuple[str, str]]]
"""What may follow each command line, such as `vm` or `vm stop`: words with what they mean. Commands, then options."""


def _words(
    command: Any, choices: Mapping[str, Sequence[str]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A command and all below it. choices: by command line, words that it takes as its first argument."""
    below = getattr(command, "commands", {})
    arguments = choices.get(" ".join(path), ())
    found = [(name, one.get_short_help_str(limit=72)) for name, one in below.items()]
    options: list[tuple[str, str]] = []
    for parameter in command.params:
        if getattr(parameter, "help", None) is not None and parameter.param_type_name == "option":
            names = [*parameter.opts, *parameter.secondary_opts]
            options += [(one, parameter.help or "") for one in names if one.startswith("--")]
    options.append(("--help", "Show this message and exit."))
    options = list(dict.fromkeys(options))
    yield " ".join(path), [*found, *((one, "") for one in arguments), *options]
    for one in arguments:
        yield " ".join((*path, one)), options
    for name, one in below.items():
        yield from _words(one, choices, (*path, name))


def _bash(words: Words) -> str:
    """A function with one case a command line; files where nothing else fits."""
    cases = "\n".join(
        f'    "{path}") words="{" ".join(word for word, _ in found)}" ;;' for path, found in words.items()
    )
    known = " ".join(f'"{path}"' for path in words if path)
    return f"""\
_ostler() {{
  local path="" next="" word words="" known=({known})
  local current="${{COMP_WORDS[COMP_CWORD]}}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    next="${{path:+$path }}$word"
    for one in "${{known[@]}}"; do [[ "$one" == "$next" ]] && path="$next"; done
  done
  case "$path" in
{cases}
  esac
  # Options only where one is begun: they would hide the words, and the files of arguments and of options.
  [[ "$current" == -* ]] || words="$(printf '%s\\n' $words | grep -v '^-')"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _ostler ostler
"""


def _zsh(words: Words) -> str:
    """Bash's function, through zsh's own bridge to it."""
    return f"#compdef ostler\nautoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"


def _fish(words: Words) -> str:
    """One line a word, with what it means."""
    lines = ["complete -c ostler -e"]
    for path, found in words.items():
        parts = path.split()
        names = [word for word, _ in found if not word.startswith("-")]
        conditions = [f"__fish_seen_subcommand_from {part}" for part in parts]
        if names:
            conditions.append(f"not __fish_seen_subcommand_from {' '.join(names)}")
        condition = f'-n "{"; and ".join(conditions)}" ' if conditions else ""
        for word, text in found:
            what = f"-l {word[2:]}" if word.startswith("--") else f"-f -a {word}"
            lines.append(f"complete -c ostler {condition}{what} -d '{_quoted(text)}'")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text within single quotes."""
    return text.replace("\\", "\\\\").replace("'", "\\'")

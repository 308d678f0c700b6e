"""`rcfail completion`: the script that teaches a shell to complete rcfail's words, and the answer to that script."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from glob import glob

import click
from click.shell_completion import CompletionItem, ShellComplete

from rcfail.commands.options import Given, Verb
from rcfail.errors import UsageFault
from rcfail.exits import ExitCode
from rcfail.render.inert import inert
from rcfail.render.lines import span
from rcfail.render.outcome import Outcome

VARIABLE = "_RCFAIL_COMPLETE"
"""Set by the scripts to the shell's name; the line so far stands in COMP_LINE, up to COMP_POINT."""

# Bash puts a proposal on the line as it is, and runs what stands in it with the line: a host that a server chose must
# hold nothing that a shell obeys, with or without quotes around it. Hosts, names and codes are of these.
_PLAIN = re.compile(r"[\w@%+=:,./\[\]-]+")

# Bash cuts words at colons too, and addresses are full of them: so the whole line is handed over.
_BASH = """\
# Completion of rcfail for bash. In ~/.bashrc: eval "$(rcfail completion bash)"
_rcfail_completion() {
    local row
    COMPREPLY=()
    while IFS= read -r row; do
        COMPREPLY+=("$row")
    done < <(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        _RCFAIL_COMPLETE=bash "$1" 2>/dev/null </dev/null)
}
complete -o bashdefault -o default -o nosort -F _rcfail_completion rcfail
"""
_ZSH = """\
#compdef rcfail
# Completion of rcfail for zsh. In ~/.zshrc, below compinit: eval "$(rcfail completion zsh)"
_rcfail() {
    local -a rows
    rows=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT]}" _RCFAIL_COMPLETE=zsh "$words[1]" 2>/dev/null </dev/null)}")
    if [[ -n "$rows[1]" ]]; then
        _describe -V rcfail rows
    else
        _files
    fi
}
if [[ "$zsh_eval_context[-1]" == loadautofunc ]]; then
    _rcfail "$@"
else
    compdef _rcfail rcfail
fi
"""
_FISH = """\
# Completion of rcfail for fish. Once: rcfail completion fish > ~/.config/fish/completions/rcfail.fish
function __rcfail_complete
    set -lx COMP_LINE (commandline --cut-at-cursor --current-process)
    set -lx _RCFAIL_COMPLETE fish
    command rcfail 2>/dev/null </dev/null
end
complete --command rcfail --no-files --keep-order --arguments '(__rcfail_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(cls=Verb, example='eval "$(rcfail completion bash)"\nrcfail completion zsh')
@click.argument("shell", required=False, type=click.Choice(list(_SCRIPTS)))
def completion(shell: str | None) -> Outcome:
    """Print the script that completes rcfail's words in your shell.

    Commands, options, finding codes, runbook pages, clusters of the config file, and the nodes of the cluster that
    the line names so far (or RCFAIL_SEEDS). Without a shell it is the one of the login shell.
    """
    chosen = shell or os.path.basename(os.environ.get("SHELL", ""))
    if chosen not in _SCRIPTS:
        raise UsageFault("for which shell?", f"Say: rcfail completion {'|'.join(_SCRIPTS)}")
    script = _SCRIPTS[chosen]
    return Outcome(
        "completion",
        ExitCode.OK,
        text=lambda _: ((span(row),) for row in script.splitlines()),
        data=lambda: {"shell": chosen, "script": script},
    )


def answer(env: Mapping[str, str]) -> str:
    """The completions for the line in the environment, as the shell that asks reads them. Raises anything at all."""
    from rcfail.commands.table import root

    shell, line = env[VARIABLE], env.get("COMP_LINE", "")
    point = int(env.get("COMP_POINT", len(line)))
    # Bash counts characters, and the line is what stands before the cursor.
    *words, incomplete = split_line(line[:point])
    option, equals, value = incomplete.partition("=")
    if equals and option.startswith("--"):
        words, incomplete = [*words, option], value
    proposed = ShellComplete(root, {"obj": Given()}, "rcfail", VARIABLE).get_completions(words[1:], incomplete)
    found = [each for each in proposed if _PLAIN.fullmatch(str(each.value))]
    lead = f"{option}=" if equals and option.startswith("--") else ""
    if not found and shell == "fish":
        found = [CompletionItem(each) for each in sorted(glob(f"{incomplete}*"))]
    rows = (_row(shell, each, lead, f"{lead}{incomplete}", env.get("COMP_WORDBREAKS", "")) for each in found)
    return "".join(f"{row}\n" for row in rows)


def split_line(line: str) -> list[str]:
    """The words of a line that is still being written; the last one is what the cursor stands behind, maybe empty."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:  # a quote is still open
        words.append(lexer.token)
        return words
    return [*words, ""] if not line or line[-1].isspace() else words


def _row(shell: str, item: CompletionItem, lead: str, incomplete: str, breaks: str) -> str:
    value, words = inert(str(item.value)), inert(item.help or "").split("\n")[0]
    if shell == "bash":
        return _after_break(f"{lead}{value}", incomplete, breaks)
    if shell == "zsh":
        escaped = f"{lead}{value}".replace("\\", "\\\\").replace(":", "\\:")
        return f"{escaped}:{words}" if words else escaped
    return f"{lead}{value}\t{words}" if words else f"{lead}{value}"


def _after_break(value: str, incomplete: str, breaks: str) -> str:
    """Bash replaces only what stands behind the last character at which it cuts words."""
    cut = max((incomplete.rfind(each) for each in ":=" if each in breaks), default=-1)
    return value[cut + 1 :]

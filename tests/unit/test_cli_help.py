"""Every command: its help, its example, and the global options on both sides of its name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path

import click
import pytest

from rcfail.commands.options import GLOBAL_OPTIONS, Verb, VerbGroup
from rcfail.commands.table import COMMANDS, root
from tests.unit.running import Ran, rcfail, recorded
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]


def context(command: click.Command) -> click.Context:
    """click keeps a command's help option once it has made it, so it must be made with our names."""
    return click.Context(command, help_option_names=["-h", "--help"])


def test_the_short_option_for_help_does_not_hang_on_who_looks_first() -> None:
    command = Verb("some", example="rcfail some")
    click.Context(command).command.get_help(click.Context(command))
    assert command.get_help_option(context(command)) is not None
    assert "-h, --help" in command.get_help(click.Context(command))


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and sub-command, by the words that name it."""
    ctx = context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())
IDS = [" ".join(path) for path in ALL]


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_every_command_has_help_that_ends_with_an_example_that_is_read(capsys: Capsys, path: tuple[str, ...]) -> None:
    ran = rcfail(capsys, *path, "-h")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == rcfail(capsys, *path, "--help").out
    head, _, example = ran.out.partition("\nExample:\n")
    assert "-o, --output" in head
    assert len(head.splitlines()) > 6
    lines = [line.strip() for line in example.strip().splitlines()]
    assert any(" ".join(("rcfail", *path)) in line for line in lines)
    for line in lines:
        if line.startswith("rcfail "):
            read_only(shlex.split(line)[1:])


def read_only(args: list[str]) -> None:
    """Read the command line as the command itself would, and run nothing."""
    command: click.Command = root
    while isinstance(command, click.Group):
        name, *args = args
        found = command.get_command(context(command), name)
        assert found is not None, name
        command = found
    command.make_context(name, args, parent=context(root))


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_no_line_of_help_is_too_long(capsys: Capsys, path: tuple[str, ...]) -> None:
    head = rcfail(capsys, *path, "-h").out.partition("\nExample:\n")[0]
    assert max(map(len, head.splitlines())) <= 80


@pytest.mark.parametrize("path", ALL, ids=IDS)
def test_every_command_takes_the_global_options(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert isinstance(command, (Verb, VerbGroup))
    names = {param.name for param in command.get_params(context(command))}
    assert {option.name for option in GLOBAL_OPTIONS} <= names
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    assert not own & {name for option in GLOBAL_OPTIONS for name in option.opts}, "an own option hides a global one"
    # click keeps one value a parameter, whatever the options are called.
    assert not names_of(command.params) & names_of(GLOBAL_OPTIONS), "an own parameter shares its name with a global one"


def names_of(params: Iterable[click.Parameter]) -> set[str | None]:
    return {param.name for param in params}


def test_the_list_of_commands_names_them_all(capsys: Capsys) -> None:
    out = rcfail(capsys, "--help").out
    assert re.findall(r"^  ([a-z-]+)  ", out, re.MULTILINE)[: len(COMMANDS)] == list(COMMANDS)
    assert out == rcfail(capsys, "-h").out


def _same(ran: Ran) -> dict[str, object]:
    return {**ran.document, "elapsed_ms": 0, "exit_code": ran.code}


def test_global_options_mean_the_same_before_and_after_the_command(capsys: Capsys, tmp_path: Path) -> None:
    record = recorded(World.of(3, 1), tmp_path)
    parts = (["health"], ["-o", "json"], ["--from-record", record], ["--deadline", "5s"])
    answers = [_same(rcfail(capsys, *(word for part in order for word in part))) for order in permutations(parts)]
    assert answers[0]["exit"] == "OK"
    assert all(answer == answers[0] for answer in answers)


def test_what_stands_later_wins_and_seeds_add_up(capsys: Capsys) -> None:
    ran = rcfail(capsys, "-o", "text", "-s", "127.0.0.1:1", "health", "-s", "127.0.0.1:2", "-o", "json")
    assert ran.document["cluster"]["seeds"] == ["127.0.0.1:1", "127.0.0.1:2"]
    assert rcfail(capsys, "-o", "json", "exit-codes", "-o", "text").out.startswith("  0  OK")


def test_sub_commands_take_them_at_every_place(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCFAIL_LAB_HOME", str(tmp_path))
    for args in (["-o", "json", "lab", "list"], ["lab", "-o", "json", "list"], ["lab", "list", "-o", "json"]):
        ran = rcfail(capsys, *args)
        assert ran.code == 0, ran
        assert ran.document["command"] == "lab list"

"""`rcfail history`: what was changed with rcfail, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from rcfail.change.audit import default_audit
from rcfail.change.history import PastRun, Send, past_runs
from rcfail.commands.options import Verb
from rcfail.errors import ConfigFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.outcome import Json, Outcome


@click.command(cls=Verb, example="rcfail history\nrcfail history 1cc205c8 --limit 5 -o json")
@click.argument("node", required=False, metavar="[NODE]")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs, the newest last."
)
@click.option(
    "--audit", "file", metavar="FILE", type=click.Path(path_type=Path), help="Another audit than the default."
)
def history(node: str | None, limit: int, file: Path | None) -> Outcome:
    """Show the changes that were made from this host, out of the audit.

    NODE is an id, its first digits or host:port: only runs that touched it, or its shard, are shown. No server is
    asked. What was sent and has no answer written after it is marked: it may have been carried out, or not.
    """
    path = file or default_audit()
    if node is not None and len(node) < 4:
        raise UsageFault(f"{node!r} is too short for a node", "Write at least four digits of its id, or host:port.")
    try:
        runs = past_runs(path, limit, lambda run: node is None or _touched(run, node))
    except OSError as error:
        raise ConfigFault(
            f"the audit {path} cannot be read: {error.strerror}", "Name another one: --audit FILE"
        ) from None
    unclear = sum(each.indeterminate for each in runs)
    return Outcome(
        command="history",
        exit_code=ExitCode.OK,
        text=lambda width: tuple(_page(runs, path, width)),
        data=partial(_data, runs, path),
        notes=(f"{unclear} not finished: look what became of it: rcfail health",) if unclear else (),
    )


def _touched(run: PastRun, node: str) -> bool:
    sent = any(node == each.address or each.node.startswith(node.lower()) for each in run.sends)
    return sent or any(each.startswith(node.lower()) for each in run.nodes)


def _page(runs: Sequence[PastRun], path: Path, width: int) -> Iterator[Line]:
    if not runs:
        yield from wrapped(f"no change is written in {path}", width)
    for at, run in enumerate(runs):
        if at:
            yield EMPTY
        yield from _run_lines(run, width)


def _run_lines(run: PastRun, width: int) -> Iterator[Line]:
    word, style = _state(run)
    first = line(span(f"{_when(run.owner.at_unix_ms)}  "), Span(word, style), span("  "))
    yield from wrapped(f"{run.command}, by {run.owner.label}", width, first=first, indent=4)
    if run.owner.reason:
        yield from wrapped(run.owner.reason, width, first=line("    reason: "), indent=12)
    for send in run.sends:
        seconds = (send.at_unix_ms - run.owner.at_unix_ms) / 1000
        text = f"{' '.join(send.command)} to {send.address} ({send.node[:8]}): {_answer(run, send)}"
        yield from wrapped(text, width, first=line(f"    +{seconds:.2f} s  "), indent=14)
    for each in run.verified:
        why = f": {each['why']}" if each.get("why") else ""
        yield from wrapped(f"{each.get('outcome')}{why}", width, first=line("    seen: "), indent=10)


def _answer(run: PastRun, send: Send) -> str:
    if not send.answered:
        return "under way" if run.running else "no line after it; indeterminate: look"
    if send.reply is None:
        return "no answer" if send.left else "not sent"
    return send.reply


def _state(run: PastRun) -> tuple[str, Style]:
    if run.exit_code is not None:
        try:
            name = ExitCode(run.exit_code).name
        except ValueError:
            name = f"code {run.exit_code}"
        return name, Style.GOOD if run.exit_code == 0 else Style.WARN
    if run.running:
        return "UNDER WAY", Style.WARN
    return ("INDETERMINATE", Style.BAD) if run.indeterminate else ("NOT FINISHED", Style.WARN)


def _when(at_unix_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_unix_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(at_unix_ms)


def _data(runs: Sequence[PastRun], path: Path) -> Json:
    return {"audit": str(path), "runs": [_run_data(run) for run in runs]}


def _run_data(run: PastRun) -> Json:
    owner = run.owner
    return {
        "run": run.run,
        "command": run.command,
        "at_unix_ms": owner.at_unix_ms,
        "user": owner.user,
        "sudo_user": owner.sudo_user or None,
        "host": owner.host,
        "pid": owner.pid,
        "reason": owner.reason or None,
        "plan": run.plan,
        "sends": [
            {
                "node_id": each.node,
                "address": each.address,
                "command": list(each.command),
                "at_unix_ms": each.at_unix_ms,
                "answered": each.answered,
                "reply": each.reply,
                "left": each.left,
            }
            for each in run.sends
        ],
        "verified": [{"outcome": each.get("outcome"), "why": each.get("why")} for each in run.verified],
        "exit_code": run.exit_code,
        "running": run.running,
        "indeterminate": run.indeterminate,
    }

"""`rcfail demo`: a real failover on this machine, from a healthy cluster to a healthy cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

import click

from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.merge import merge
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.access import access_options
from rcfail.commands.interruption import ended_like_ctrl_c
from rcfail.commands.options import Verb, duration, settings_of
from rcfail.exits import ExitCode
from rcfail.health.manner import PLAIN, fitted
from rcfail.health.verdict import Diagnosis, Verdict
from rcfail.practice.demo import Look, Moment, Played, play
from rcfail.practice.lab.access import Access
from rcfail.practice.lab.environment import variables
from rcfail.practice.lab.register import LabEntry, Register, home_folder
from rcfail.practice.lab.wish import Wish
from rcfail.render.health_page import health_page
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span
from rcfail.render.outcome import ClusterName, Json, Outcome
from rcfail.render.write import page_width, write_page
from rcfail.session import deadline_of, open_sight
from rcfail.settings.load import Flags, load
from rcfail.settings.sections import Format

_OWN_HOSTS = 6
"""One host a node: then no place matters, and the cluster is healthy whoever is primary."""


@click.command(cls=Verb, example="rcfail demo\nrcfail demo --server /usr/bin/valkey-server --node-timeout 5s")
@click.option("--server", metavar="PATH", help="The server program. [the bundled one, else the first on PATH]")
@click.option("--node-timeout", type=duration, default="2s", show_default=True, help="cluster-node-timeout.")
@access_options
@click.pass_context
def demo(ctx: click.Context, server: str | None, node_timeout: float, access: Access) -> Outcome:
    """Form a real cluster here, kill a primary, follow the failover, bring it back.

    Six real server processes, on loopback addresses only. All of them are ended and their files removed at the end,
    also after Ctrl-C. Ends with 0 only when every step was seen and the cluster is healthy again.
    """
    settings = settings_of(ctx)
    ctx.obj.cluster_name = None  # whatever a variable names, this is about a cluster of its own
    wish = Wish(
        f"demo-{os.getpid()}",
        hosts=_OWN_HOSTS,
        node_timeout_ms=round(node_timeout * 1000),
        server=server,
        access=access,
    )
    quiet = settings.output.format is Format.JSON
    teller = _Teller(quiet, settings.output.color)

    def looking_at(entry: LabEntry) -> Look:
        env = variables(entry)
        own = replace(load(Flags(), env), limits=settings.limits, output=settings.output)
        sight = open_sight(own, env)
        teller.manner = sight.manner
        return lambda: merge(sight.look(deadline_of(own)))

    with ended_like_ctrl_c():
        played = play(wish, Register(home_folder(os.environ)), looking_at, teller, SYSTEM_CLOCK)
    return Outcome(
        "demo",
        ExitCode.OK,
        text=lambda _: _summary(played),
        data=lambda: _json(played),
        verdict=Verdict.OK.value,
        cluster=ClusterName(seeds=(str(played.new_primary),), flavour=played.server.split()[0]),
    )


class _Teller:
    """Tells the story on stdout while it happens, or keeps quiet where one JSON document is asked for."""

    def __init__(self, quiet: bool, color: bool) -> None:
        self.manner = PLAIN
        self._quiet = quiet
        self._color = color
        self._pages = 0
        self._chapters = 0

    def chapter(self, title: str) -> None:
        self._chapters += 1
        self._write(
            EMPTY if self._chapters > 1 else None, (Span(f"{self._chapters}. ", Style.DIM), span(title, Style.HEAD))
        )

    def happened(self, moment: Moment) -> None:
        when = "" if moment.at_ms is None else f"+{moment.at_ms / 1000:.2f} s"
        self._write((Span(f"{when:>9}  ", Style.DIM), span(moment.text)))

    def judged(self, snapshot: Snapshot, diagnosis: Diagnosis) -> None:
        """The whole page the first time, then only its head: what is wrong, what it means, what to do."""
        told = replace(diagnosis, findings=fitted(diagnosis.findings, self.manner))
        page = health_page(snapshot, told, page_width() - 4, show_all=False)
        self._pages += 1
        shown = page if self._pages == 1 else takewhile(lambda each: each != EMPTY, page)
        self._write(*((Span("    "), *each) if each else EMPTY for each in shown))

    def _write(self, *rows: Line | None) -> None:
        if not self._quiet:
            write_page((row for row in rows if row is not None), sys.stdout, color=self._color)
            sys.stdout.flush()


def _summary(played: Played) -> Iterator[Line]:
    yield EMPTY
    yield line(
        f"{played.server}: killed {played.old_primary}; {played.new_primary} served its slots "
        f"{played.unserved_ms / 1000:.1f} s later,"
    )
    yield line(f"and the cluster was whole again {played.whole_again_ms / 1000:.1f} s after the kill.")


def _json(played: Played) -> Json:
    return {
        "server": played.server,
        "old_primary": str(played.old_primary),
        "new_primary": str(played.new_primary),
        "unserved_ms": played.unserved_ms,
        "whole_again_ms": played.whole_again_ms,
        "verdicts": [verdict.value for verdict in played.verdicts],
        "timeline": [
            {"at_ms": moment.at_ms, "event": moment.event, "subject": moment.subject, "text": moment.text}
            for moment in played.moments
        ],
    }

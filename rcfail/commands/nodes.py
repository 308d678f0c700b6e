"""`rcfail nodes`: the table of members, as one node has it."""

from __future__ import annotations

import sys
from errno import EBADF
from functools import partial

import click

from rcfail.blind import cannot_see
from rcfail.cluster.observation import Answer, Observation
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.vitals import Flavour
from rcfail.commands.options import Verb, settings_of
from rcfail.errors import ConfigFault, UsageFault
from rcfail.exits import ExitCode
from rcfail.render.facts import record_note, seed_texts
from rcfail.render.node_table import TableView, node_data, node_page
from rcfail.render.outcome import ClusterName, Outcome
from rcfail.render.words import SILENCE_WORDS
from rcfail.session import deadline_of, open_sight

# Five times what a cluster of 10,000 nodes takes. A log that was named by mistake is longer.
_MOST_BYTES = 8 * 1024 * 1024
_MOST_LINES = 50_000
_FROM_HINT = "Save one with: redis-cli -h HOST -p PORT CLUSTER NODES > FILE, or name a nodes.conf."

_NO_CLUSTER = ClusterName()


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail nodes -s 10.0.0.5:6379\nrcfail nodes --from /var/lib/redis/nodes.conf"
    "\nrcfail nodes --from /var/lib/redis/nodes.conf --lint --repair",
)
@click.option("--from", "source", metavar="FILE", help="Read a saved CLUSTER NODES reply or a nodes.conf; - is stdin.")
@click.option("--lint", "linted", is_flag=True, help="Judge a nodes.conf: would a server start with it, and as whom?")
@click.option(
    "--repair",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Write a repaired copy beside it, and never in its place. [FILE.repaired]",
)
@click.option("--force", is_flag=True, help="Write the copy although a file of its name exists.")
@click.option("--self", "self_id", metavar="ID|HOST:PORT", default="", help="Who the node is that the file is of.")
@click.pass_context
def nodes(
    ctx: click.Context, source: str | None, linted: bool, repair: str | None, force: bool, self_id: str
) -> Outcome:
    """Show one node's table of the cluster as a tree by shard.

    It is the view of the first seed that answers, and of nobody else: another node may believe another thing.
    What all of them make together is in `rcfail health`. With --from no server is asked.

    With --lint a nodes.conf is judged line by line: what is wrong, what a server does with it at its start, and what to
    do. The exit code is then 0 for a file without a flaw, 1 for one that a server starts with, 2 for one that it
    refuses or that has lost something, 78 where it cannot be read. --repair keeps every line that can be kept, and
    tells of every other one.
    """
    settings = settings_of(ctx)
    if linted or repair is not None:
        if source is None or settings.target.record is not None or ctx.obj.flags.seeds:
            raise UsageFault("--lint judges a file, and no server", "Name it: rcfail nodes --from nodes.conf --lint")
        from rcfail.commands.lint_nodes import linting

        name = "standard input" if source == "-" else source
        return linting(_raw(source, name), source, repair, self_id, force=force)
    if force or self_id:
        raise UsageFault("--force and --self belong to --lint", "Such as: rcfail nodes --from nodes.conf --lint")
    if source is not None:
        if settings.target.record is not None or ctx.obj.flags.seeds:
            raise UsageFault("--from excludes --seed and --from-record", "Name one place to read from.")
        return _outcome(_saved(source))
    observation = open_sight(settings).first_view(deadline_of(settings))
    fault = cannot_see(observation)
    if fault is not None:
        raise fault
    record = settings.target.record
    old = () if record is None else (record_note(record, observation.taken_at_unix_ms),)
    notes = (*settings.target.notes, *_passed_over(observation), *old)
    answer = _first(observation)
    return _outcome(_view(answer), _name(observation, answer), notes)


def _outcome(view: TableView, cluster: ClusterName = _NO_CLUSTER, notes: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        command="nodes",
        exit_code=ExitCode.OK,
        text=partial(node_page, view),
        data=partial(node_data, view),
        cluster=cluster,
        notes=notes,
    )


def _first(observation: Observation) -> Answer:
    """The first seed that gave a table; of a record, the first node where no seed did."""
    readable = [answer for answer in observation.answers if answer.nodes and answer.nodes.table.beliefs]
    order = {seed: at for at, seed in enumerate(observation.seeds)}
    return min(readable, key=lambda each: order.get(each.endpoint, len(order)))


def _view(answer: Answer) -> TableView:
    assert answer.nodes is not None
    said = vitals(None, answer.cluster_info, None).cluster
    return TableView(answer.nodes, f"view of {answer.endpoint}", said.current_epoch)


def _name(observation: Observation, answer: Answer) -> ClusterName:
    server = vitals(answer.info, None, None).server
    known = server.flavour is not Flavour.UNKNOWN
    return ClusterName(
        seeds=seed_texts(observation.seeds),
        flavour=server.flavour.value if known else None,
        versions=(server.version_text,) if server.version_text else (),
    )


def _passed_over(observation: Observation) -> tuple[str, ...]:
    """Seeds that were named first and gave no view; of a record all silences, they belong to the same look."""
    seeds = set(observation.seeds)
    return tuple(
        f"{silence.endpoint} {SILENCE_WORDS[silence.reason]}"
        for silence in observation.silences
        if silence.endpoint in seeds
    )


def _saved(source: str) -> TableView:
    """A file without any node is wrong as a file that cannot be opened is (78): no cluster was asked anything."""
    from rcfail.cluster.parse_conf import parse_conf

    name = "standard input" if source == "-" else source
    conf = parse_conf(_read(source, name))
    if not conf.table.beliefs:
        problems = conf.table.problems
        why = f"line {problems[0].line_number}: {problems[0].reason}" if problems else "it is empty"
        raise ConfigFault(f"{name} holds no line of a node table ({why})", _FROM_HINT)
    return TableView(conf.reply, name, conf.current_epoch, conf.last_vote_epoch)


def _read(source: str, name: str) -> str:
    return _raw(source, name).decode(errors="backslashreplace")


def _raw(source: str, name: str) -> bytes:
    try:
        if source == "-":
            if sys.stdin is None:
                raise OSError(EBADF, "it is closed")
            raw = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            from rcfail.pipes import read_file

            raw = read_file(source, _MOST_BYTES + 1)
    except OSError as error:
        raise ConfigFault(f"{name}: {(error.strerror or 'cannot be read').lower()}", _FROM_HINT) from None
    if len(raw) > _MOST_BYTES:
        raise ConfigFault(f"{name}: more than {_MOST_BYTES >> 20} MiB is no node table", _FROM_HINT)
    if raw.count(b"\n") > _MOST_LINES:
        raise ConfigFault(f"{name}: more than {_MOST_LINES} lines are no node table", _FROM_HINT)
    return raw

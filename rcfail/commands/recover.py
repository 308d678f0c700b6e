"""`rcfail recover`: name what is wrong, and mend it without losing anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from string import hexdigits
from typing import Any

import click

from rcfail.change.recover import doctor
from rcfail.change.recover.case import Decisions
from rcfail.change.recover.doctor import Planner
from rcfail.change.target import NotMeant, meant_places
from rcfail.cluster.nouns import SLOT_COUNT, Endpoint, NodeId, SlotRange
from rcfail.cluster.snapshot import Snapshot
from rcfail.commands.change_options import audit_path, overrides
from rcfail.commands.options import Verb, completed_by, duration, settings_of
from rcfail.commands.recovery_options import kept_back, outcome_of, recovery_options, ways_of
from rcfail.commands.stopping import Stopping
from rcfail.errors import Refused, UsageFault
from rcfail.health.wording import called, listing
from rcfail.pipes import read_file
from rcfail.render.outcome import Outcome
from rcfail.runs.examining import Wish
from rcfail.runs.moving import Site, at_site
from rcfail.runs.recovering import recover as run_recovery
from rcfail.settings.sections import Settings
from rcfail.settings.seeds import BadSeed, parse_seeds

_ID_DIGITS = 40
_LONGEST_LIST = 1_000_000


@click.command(
    cls=Verb,
    looks=True,
    example="rcfail recover --dry-run\nrcfail recover 10.0.0.7:6379 --wait --yes\n"
    "rcfail recover --at addresses.txt --dry-run",
)
@click.argument("target", required=False, metavar="[NODE|SHARD]", shell_complete=completed_by("members"))
@click.option("--at", multiple=True, metavar="HOST:PORT|FILE", help="Look there too: an address, or a file of them.")
@click.option("--wait", is_flag=True, help="Follow a node that is down until it is back and in sync.")
@click.option("--start-cmd", metavar="CMD", default="", help="What starts a node that is down, for /bin/sh.")
@click.option("--within", type=duration, default="10m", metavar="DURATION", help="How long a node may take. [10m]")
@click.option("--forget", multiple=True, metavar="NODE|HOST|ZONE", help="It will never come back: let all forget it.")
@click.option("--slot-owner", multiple=True, metavar="SLOTS=NODE", help="Who shall own slots that nobody can tell of.")
@click.option("--confirm-fenced", multiple=True, metavar="ID|HOST|ZONE", help="You say: these lost voters are stopped.")
@recovery_options
@click.pass_context
def recover(ctx: click.Context, /, **flags: Any) -> Outcome:
    """Name what is wrong with nodes, addresses, replicas and slots, and mend it step by step.

    It looks, names each condition, and shows the smallest plan that ends it: what is sent to whom, and what could be
    lost. Nothing is sent without a yes. Before each step it looks again, each command is sent once, and a step counts
    when every view shows it. Keys are never deleted and owners never guessed: what only you can decide is said, with
    the words that decide it. Stopped half way, run it again: it goes on from where the cluster stands.

    TARGET is a node, a shard (by any of its nodes or as slot:N), a host or a zone; without one everything is meant.
    The command of --start-cmd is told of its node by RCFAIL_NODE_ID and RCFAIL_NODE_ADDRESS.

    The exit code: 0 nothing is wrong, or all of it is mended and verified; 3 it cannot be told what it is; 10 refused,
    nothing was sent; 11 sent, without effect; 12 mended in part; 14 another change is under way; 15 it cannot be told
    what became of it; 65 you said no.
    """
    settings, stopping = _looking_at(settings_of(ctx), flags["at"]), Stopping()
    ways = ways_of(settings, stopping, "recover", yes=flags["yes"], lose_keys=flags["lose_keys"])
    with stopping.noted(), at_site(settings, audit_path(flags["audit"])) as site:
        wish, notes = _wish(site, settings, flags)
        told = run_recovery(site, wish, ways)
    return outcome_of("recover", settings, replace(told, notes=(*told.notes, *notes)))


def _looking_at(settings: Settings, places: tuple[str, ...]) -> Settings:
    """The same, with further places to begin at. Raises UsageFault."""
    more = tuple(place for each in places for place in _places(each))
    seeds = tuple(dict.fromkeys((*settings.target.seeds, *more)))
    return replace(settings, target=replace(settings.target, seeds=seeds))


def _places(word: str) -> tuple[Endpoint, ...]:
    """An address, a comma list of them, or a file with one a line; a # begins a remark."""
    try:
        if not os.path.exists(word):
            return parse_seeds(word)
        text = read_file(word, _LONGEST_LIST).decode("utf-8", "replace")
        rows = (row.partition("#")[0].strip() for row in text.splitlines())
        return tuple(place for row in rows if row for place in parse_seeds(row))
    except (BadSeed, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageFault(f"--at {word}: {why}", "Give HOST:PORT, or a file with one a line.") from None


def _wish(site: Site, settings: Settings, flags: dict[str, Any]) -> tuple[Wish, tuple[str, ...]]:
    """The words are looked up in a first look; with what there is to remark of them. Raises CannotSee and NotMeant."""
    snapshot = site.look()
    forgotten = tuple(each for each in flags["forget"] if _is_listed_nowhere(snapshot, each))
    meant = tuple(each for each in flags["forget"] if each not in forgotten)
    scope = meant_places_or_shard(snapshot, flags["target"]) if flags["target"] else None
    decisions = Decisions(
        since_unix_ms=snapshot.taken_at_unix_ms,
        wait=flags["wait"],
        start_cmd=flags["start_cmd"],
        within_s=flags["within"],
        forget=_given_up(snapshot, meant),
        owners=tuple(each for word in flags["slot_owner"] for each in _owners(snapshot, word)),
        fenced=meant_places(snapshot, "--confirm-fenced", flags["confirm_fenced"]),
        given=overrides(
            data_loss=flags["allow_data_loss"],
            this_host=flags["trust_this_host"],
            fenced=bool(flags["confirm_fenced"]),
            break_lock=flags["break_lock"],
        ),
    )
    wish = Wish(
        command="recover",
        planner=Planner(lambda case, _: doctor.conditions(case), doctor.questions),
        decisions=decisions,
        within=lambda found: doctor.within(found, scope),
        dry_run=flags["dry_run"],
        reason=flags["reason"],
        break_lock=flags["break_lock"],
        lose_keys=flags["lose_keys"],
        asked={"target": flags["target"], "at": list(flags["at"])},
        without=kept_back(settings),
    )
    return wish, tuple(_forgotten_note(snapshot, each) for each in forgotten)


def _given_up(snapshot: Snapshot, words: tuple[str, ...]) -> frozenset[NodeId]:
    """Raises NotMeant: of an address that nobody lists it cannot be told whether it was forgotten or never was one."""
    try:
        return meant_places(snapshot, "--forget", words)
    except NotMeant as fault:
        hint = f"{fault.hint}; was it forgotten already, say its whole id, as rcfail history tells it"
        raise NotMeant(fault.message, hint) from None


def _is_listed_nowhere(snapshot: Snapshot, word: str) -> bool:
    """A whole id that no view has. Run again after all have forgotten it, the same words must not be a mistake."""
    return len(word) == _ID_DIGITS and set(word) <= set(hexdigits) and word.lower() not in snapshot.nodes


def _forgotten_note(snapshot: Snapshot, node_id: str) -> str:
    silent = any(each.view is None for each in snapshot.nodes.values())
    nobody = "no node that answers lists" if silent else "no node lists"
    return f"--forget {node_id}: {nobody} it; it is forgotten already, or never was of this cluster"


def meant_places_or_shard(snapshot: Snapshot, word: str) -> frozenset[NodeId]:
    """All nodes that a word names; a primary with slots stands for its shard, and slot:N for that of the slot.

    Raises NotMeant.
    """
    if word.lower().startswith("slot:"):
        from rcfail.change.target import meant_shards

        named = _said_to_own(snapshot, word) or frozenset(meant_shards(snapshot, (word,)) or ())
    else:
        named = meant_places(snapshot, "", (word,))
    shards = (snapshot.shard_of(each) for each in named if snapshot.nodes[each].slots)
    return named | {each for shard in shards if shard for each in (shard.primary_id, *shard.replica_ids)}


def _said_to_own(snapshot: Snapshot, word: str) -> frozenset[NodeId]:
    """Whom views name as the owner of a slot that nobody claims himself."""
    number = word.partition(":")[2].strip()
    slot = int(number) if number.isascii() and number.isdecimal() and len(number) <= 5 else -1
    part = next((each for each in snapshot.stretches if each.first <= slot <= each.last), None)
    return frozenset(claim.node_id for claim in part.claims) if part and part.owner is None else frozenset()


def _owners(snapshot: Snapshot, word: str) -> Iterator[tuple[SlotRange, NodeId]]:
    """`77=NODE`, `0-99=NODE` or `7,9-12=NODE`. Raises UsageFault, NotMeant, and Refused where no owner is wanted."""
    from rcfail.change.target import meant_node

    slots, equals, name = word.partition("=")
    ranges = [_range(piece) for piece in slots.split(",")]
    if not equals or not name or None in ranges:
        what = f"--slot-owner {word}: it is written as SLOTS=NODE"
        raise UsageFault(what, "Such as --slot-owner 0-99=10.0.0.7:6379, or 7,9-12=10.0.0.7:6379")
    node = meant_node(snapshot, name, "--slot-owner")
    meant = [each for each in ranges if each is not None]
    _insist_on_need(snapshot, word, meant, node)
    yield from ((each, node) for each in meant)


def _range(piece: str) -> SlotRange | None:
    first, dash, last = piece.partition("-")
    last = last if dash else first
    if not all(each.isascii() and each.isdecimal() and len(each) <= 5 for each in (first, last)):
        return None
    return (int(first), int(last)) if int(first) <= int(last) < SLOT_COUNT else None


def _insist_on_need(snapshot: Snapshot, word: str, ranges: list[SlotRange], node: NodeId) -> None:
    """Raises Refused where another node claims all of the slots itself: no word of the operator moves a slot."""
    parts = [part for part in snapshot.stretches for first, last in ranges if part.first <= last and first <= part.last]
    owners = {part.confirmed[0].node_id if len(part.confirmed) == 1 else None for part in parts}
    if None not in owners and owners - {node}:
        told = listing(called(snapshot.nodes[each]) for each in sorted(each for each in owners if each))
        what = f"--slot-owner {word}: these slots have an owner that claims them itself, {told}"
        raise Refused(what, "To move slots between living nodes: redis-cli --cluster reshard.")

"""Figures over the whole snapshot, the same for text and JSON."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from rcfail.cluster.failover_stage import suspecting
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.vitals import Flavour
from rcfail.health.finding import Finding
from rcfail.render.outcome import ClusterName
from rcfail.render.words import SILENCE_WORDS


class SlotCounts(NamedTuple):
    """Of all 16384 slots: how many somebody is said to own, how many have an owner in the merged picture, and
    how that owner stands. A slot whose owner is silent to us, and flagged by nobody, is in none of the last three.
    """

    assigned: int
    covered: int
    ok: int
    suspected: int
    failed: int


def slot_counts(snapshot: Snapshot) -> SlotCounts:
    assigned = covered = ok = suspected = failed = 0
    for stretch in snapshot.stretches:
        assigned += stretch.count if stretch.claims else 0
        owner = snapshot.node(stretch.owner)
        if owner is None:
            continue
        covered += stretch.count
        if owner.failed_by:
            failed += stretch.count
        elif owner.suspected_by and _counts(snapshot, owner):
            suspected += stretch.count
        elif owner.alive is Known.YES:
            ok += stretch.count
        elif owner.alive is Known.NO:
            failed += stretch.count
    return SlotCounts(assigned, covered, ok, suspected, failed)


def _counts(snapshot: Snapshot, owner: Node) -> bool:
    """Whether a suspicion is more than a minority's of an owner that is known to live: that one serves all the same.

    A single node that is cut off suspects everybody.
    """
    return owner.alive is not Known.YES or len(suspecting(snapshot, owner)) >= snapshot.electorate.needed


def epoch(snapshot: Snapshot) -> int | None:
    """The highest current epoch that any node knows; None where nobody said."""
    said = (view.vitals.cluster.current_epoch for view in snapshot.views)
    return max((each for each in said if each is not None), default=None)


def versions(snapshot: Snapshot) -> tuple[str, ...]:
    """Flavour and version of every server that answered, each once: `redis 8.2.3`."""
    servers = (view.vitals.server for view in snapshot.views)
    return tuple(sorted({f"{each.flavour} {each.version_text}" for each in servers if each.version_text}))


def cluster_name(snapshot: Snapshot) -> ClusterName:
    servers = [view.vitals.server for view in snapshot.views if view.vitals.server.version_text]
    flavours = {server.flavour for server in servers} - {Flavour.UNKNOWN}
    return ClusterName(
        seeds=seed_texts(snapshot.seeds),
        flavour=flavours.pop().value if len(flavours) == 1 else ("mixed" if flavours else None),
        versions=tuple(sorted({server.version_text for server in servers})),
    )


def seed_texts(seeds: tuple[Endpoint, ...]) -> tuple[str, ...]:
    return tuple(str(seed) for seed in seeds)


def stray_notes(snapshot: Snapshot, findings: Iterable[Finding] = ()) -> tuple[str, ...]:
    """Silences that belong to no member, such as an old seed that nobody lists: said, never dropped.

    What a finding tells already is not told twice.
    """
    told = {finding.subject.address for finding in findings}
    strays = (silence for silence in snapshot.silences if silence.expected is None)
    return tuple(
        f"{silence.endpoint} {SILENCE_WORDS[silence.reason]}, and no node lists it"
        for silence in strays
        if str(silence.endpoint) not in told
    )


def record_note(path: str, taken_at_unix_ms: int) -> str:
    """Tells that an answer is about the past, and how old it is."""
    try:
        taken = time.strftime("taken %Y-%m-%d %H:%M:%S UTC", time.gmtime(taken_at_unix_ms / 1000))
    except (OverflowError, ValueError, OSError):  # a number in a file can be any
        taken = "taken at no time that a calendar knows"
    return f"read from the record {path}, {taken}"

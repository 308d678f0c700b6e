"""Who may take over a lost shard, by every check of a failover; and the actions that let one do it, or wait for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from rcfail.change.candidates import Contender, contenders
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case
from rcfail.change.recover.expect import KnownToAll, Serves, judged
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.cluster.ballot import Ballot, Vote, ballot, overlaps
from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health.wording import called, counted, slots_text

_PASSED_ON = frozenset({Override.DATA_LOSS, Override.THIS_HOST})
"""Consents of a recovery that a failover knows too. Who is fenced is said by the ids of the nodes."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Each of these slots is owned by a node that answers and says so itself."""

    slots: tuple[SlotRange, ...]

    def check(self, snapshot: Snapshot) -> Check:
        parts = [each for each in snapshot.stretches if overlaps(((each.first, each.last),), self.slots)]
        owners = {each.owner for each in parts}
        lacking = [each for each in parts if each.owner is None or not each.confirmed]
        silent = [node for each in owners if (node := snapshot.node(each)) is not None and node.view is None]
        text = slots_text(self.slots)
        if silent:
            return judged("covered", False, "", f"{called(silent[0])} owns {text} and does not answer")
        return judged(
            "covered", bool(parts) and not lacking, f"{text} are served", f"{text} have no owner that says so"
        )


def heirs(case: Case, shard: Shard, mode: Mode, fenced: Collection[NodeId] = ()) -> tuple[Contender, ...]:
    """The living replicas of the shard, the best first, each with all checks of a failover in this mode.

    One that holds nothing, or another shard's data, is none: no consent makes that a recovery.
    """
    snapshot = case.snapshot
    asked = request(case, shard.primary_id, shard.primary_id, mode, fenced)
    # A second look belongs to the moment of the send; here one stands for both.
    found = contenders(Seen(snapshot, snapshot), asked)
    able = (each for each in found if snapshot.nodes[each.node_id].view is not None and not worthless(each))
    # Of an owner without an address nobody knows since when it is silent, and another node stands where it was.
    gone = "noaddr" in snapshot.nodes[shard.primary_id].flags
    urged = gone or mode is Mode.TAKEOVER or shard.primary_id in case.decisions.fenced
    return tuple(able) if urged else tuple(_sure(each, asked) for each in able)


def _sure(contender: Contender, asked: Request) -> Contender:
    """While a majority stands nothing is urgent but the shard itself, and its primary may be started with all that it
    saved: once a replica is promoted it copies that one. So what a replica lacks for certain, or may lack, is the
    operator's to give away. `rcfail failover` leaves it at a warning, for there he has named the replica himself; so
    it is where he says that the primary is stopped.
    """
    allowed = Override.DATA_LOSS in asked.given
    checks = tuple(
        replace(each, verdict=CheckVerdict.FAIL, override=Override.DATA_LOSS, overridden=allowed)
        if each.code == "data" and each.verdict is CheckVerdict.WARN
        else each
        for each in contender.checks
    )
    return replace(contender, checks=checks, refused=any(each.refuses for each in checks))


def worthless(contender: Contender) -> bool:
    """Its data is refused by what was seen, not for what could not be seen."""
    return any(each.code == "data" and each.verdict is CheckVerdict.FAIL for each in contender.checks)


def request(case: Case, target: NodeId, primary: NodeId, mode: Mode, fenced: Collection[NodeId] = ()) -> Request:
    given = case.decisions.given & _PASSED_ON
    if mode is Mode.TAKEOVER:
        return Request(target, primary, mode, given | {Override.FENCED}, primary, frozenset(fenced))
    return Request(target, primary, mode, given, primary)


def needs_consent(found: Collection[Contender]) -> Contender | None:
    """The first in whose way stands nothing but the operator's word that data may be lost."""
    for each in found:
        refusals = [check for check in each.checks if check.refuses]
        if refusals and all(check.override is Override.DATA_LOSS for check in refusals):
            return each
    return None


def ballot_of(snapshot: Snapshot, contender: Contender, shard: Shard, stopped: Collection[NodeId] = ()) -> Ballot:
    return ballot(snapshot, contender.node_id, shard.primary_id, stopped)


def standing_with(votes: Ballot) -> tuple[NodeId, ...]:
    """The voters that live on its side for certain, however they would vote."""
    return votes.of(Vote.GIVEN, Vote.LOADING, Vote.NOT_LISTING, Vote.NEWER_EPOCH)


def copy_of(node: Node) -> str:
    """What a replica holds, in a clause: `10 keys, without its primary for 20 s`."""
    vitals = node.vitals
    if vitals is None:
        return "silent to us"
    keys = "an unknown number of keys" if vitals.storage.keys is None else counted(vitals.storage.keys, "key")
    age_s = vitals.replication.link_down_since_s
    if vitals.replication.link_up or age_s is None:
        return keys
    return f"{keys}, not in sync since its start" if age_s == -1 else f"{keys}, without its primary for {age_s} s"


def promotion(case: Case, shard: Shard, target: NodeId, mode: Mode, fenced: Collection[NodeId] = ()) -> Action:
    """One failover, as `rcfail failover` carries it out. Its key does not change while other shards are mended."""
    nodes = case.snapshot.nodes
    how = "takes over" if mode is Mode.TAKEOVER else "is elected by force for"
    title = f"{called(nodes[target])} {how} {slots_text(shard.slots)} of {called(nodes[shard.primary_id])}"
    return Action(
        ActionKind.FAILOVER,
        shard.primary_id,
        title,
        (Serves(target), Covered(shard.slots), KnownToAll(target)),
        aims=(target, mode.value),
        request=request(case, target, shard.primary_id, mode, fenced),
    )


def awaiting(snapshot: Snapshot, shard: Shard, within_ms: int) -> Action:
    """Nothing is sent: the voters elect."""
    title = f"wait until a replica of {called(snapshot.nodes[shard.primary_id])} is elected by itself"
    return Action(ActionKind.WAIT, shard.primary_id, title, (Covered(shard.slots),), within_ms=within_ms)


def living(snapshot: Snapshot, shard: Shard) -> tuple[Node, ...]:
    """Its replicas that are not known to be dead: they answer us, or somebody else."""
    return tuple(each for each in snapshot.replicas_of(shard) if each.alive is not Known.NO)

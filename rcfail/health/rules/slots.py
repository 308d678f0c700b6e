"""Slots: has each of them one owner, does that node live, and does it know that it is the owner?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.snapshot import Claim, Known, Node, Snapshot, Stretch
from rcfail.health import restart
from rcfail.health.finding import Finding, Severity, Subject, SubjectKind, Thresholds, of_node, of_shard
from rcfail.health.rules import open_slots, state, writes
from rcfail.health.standing import held_for_dead, peers
from rcfail.health.wording import answering, called, counted, duration, listing, named, rcfail, slots_text

if TYPE_CHECKING:
    from rcfail.health.diagnose import Rule


def slots_uncovered(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots that no view gives to anybody, and slots that only some slot owners give to nobody.

    Needs one readable view; without any there is nothing to say of slots.
    """
    if not snapshot.groups:
        return
    vacant: list[SlotRange] = []
    unknown_to: dict[tuple[NodeId, ...], list[Stretch]] = {}
    for stretch in snapshot.stretches:
        if not stretch.claims:
            _extend(vacant, stretch)
        elif stretch.owner is not None and (blind := _blind_owners(snapshot, stretch)):
            unknown_to.setdefault(blind, []).append(stretch)
    if vacant:
        yield _vacant(snapshot, vacant)
    for blind, parts in unknown_to.items():
        yield _known_to_some(snapshot, blind, parts)


def _vacant(snapshot: Snapshot, vacant: list[SlotRange]) -> Finding:
    views = sum(len(each.observers) for each in snapshot.groups)
    return Finding(
        "slots-uncovered",
        Severity.CRITICAL,
        _slots(vacant),
        f"no owner in any of {counted(views, 'view')}: {slots_text(vacant)}",
        f"Commands on keys in these slots fail with CLUSTERDOWN{_and_the_others(snapshot)}.",
        "See who still holds keys of them, and give them back: " + _recovery(snapshot),
    )


def _blind_owners(snapshot: Snapshot, stretch: Stretch) -> tuple[NodeId, ...]:
    """The slot owners whose own view gives this stretch to nobody."""
    told = sum(len(claim.observers) for claim in stretch.claims)
    if told >= sum(len(each.observers) for each in snapshot.groups):
        return ()
    named_by = {observer for claim in stretch.claims for observer in claim.observers}
    return tuple(voter for voter in snapshot.electorate.reachable if voter not in named_by)


def _known_to_some(snapshot: Snapshot, blind: tuple[NodeId, ...], parts: list[Stretch]) -> Finding:
    ranges = _ranges(parts)
    owners = {part.owner for part in parts if part.owner}
    voters = len(snapshot.electorate.voters)
    # What most slot owners say decides where a client is sent.
    worst = Severity.CRITICAL if 2 * len(blind) >= voters - len(owners) else Severity.WARNING
    return Finding(
        "slots-uncovered",
        worst,
        _slots(ranges),
        f"no owner in the view of {len(blind)} of {counted(voters, 'slot owner')} ({named(snapshot, blind)}): "
        f"{slots_text(ranges)}; claimed by {named(snapshot, owners)}",
        f"These nodes answer CLUSTERDOWN instead of sending clients to the owner{_and_the_others(snapshot)}.",
        "See whom such a node knows: " + rcfail("nodes", snapshot.nodes[blind[0]].endpoint),
    )


def slots_failed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots whose owner is `fail` in somebody's view."""
    for owner in _owners(snapshot):
        if not owner.failed_by:
            continue
        others = peers(snapshot, owner.node_id)
        evidence = (
            f"{slots_text(owner.slots)} belong to {called(owner)}, which is fail in "
            f"{len(owner.failed_by)} of {counted(others, 'other view')}{_but_answers(owner)}"
        )
        lost = owner.view is None or held_for_dead(snapshot, owner)
        yield Finding(
            "slots-failed",
            Severity.CRITICAL if lost else Severity.WARNING,
            of_shard(snapshot, shard) if (shard := snapshot.shard_of(owner.node_id)) else of_node(owner),
            evidence,
            f"Commands on keys in these slots fail{_and_the_others(snapshot)}.",
            _failed_hint(snapshot, owner),
        )


def _but_answers(owner: Node) -> str:
    return "" if owner.view is None else "; it answers us all the same"


def _failed_hint(snapshot: Snapshot, owner: Node) -> str:
    look = rcfail("health", answering(snapshot, without=owner.node_id), "--wait", "60s")
    if danger := restart.warning(snapshot, (owner,), "slots-failed"):
        return danger
    if owner.view is None:
        mend = rcfail("recover", answering(snapshot, without=owner.node_id), owner.short, "--dry-run")
        again = f"start the process of {called(owner)} again"
        return f"Mostly a replica takes over within seconds; if none does, {again}, or see what mends it: {mend}"
    # clearNodeFailureIfNeeded (cluster_legacy.c) keeps the flag of a slot owner for two node timeouts.
    timeout_ms = owner.view.vitals.config.node_timeout_ms
    bound = f" {duration(2 * timeout_ms)} (two node timeouts)" if timeout_ms else " two node timeouts"
    return f"The others drop the flag{bound} after they hear it again: {look}"


def slots_suspected(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots whose owner is `fail?` for somebody who is not cut off himself, and `fail` for nobody."""
    doubted = [owner for owner in _owners(snapshot) if owner.suspected_by and not owner.failed_by]
    alone = _without_majority(snapshot) if doubted else frozenset()
    for owner in doubted:
        suspecting = _suspecting(snapshot, owner, alone)
        if not suspecting:
            continue
        lost = held_for_dead(snapshot, owner)
        others = peers(snapshot, owner.node_id)
        voting = sum(1 for each in suspecting if snapshot.is_voter(each))
        yield Finding(
            "slots-suspected",
            Severity.CRITICAL if lost else Severity.WARNING,
            of_shard(snapshot, shard) if (shard := snapshot.shard_of(owner.node_id)) else of_node(owner),
            f"{slots_text(owner.slots)} belong to {called(owner)}, which is fail? in {len(suspecting)} of "
            f"{counted(others, 'other view')}: {voting} of the {snapshot.electorate.needed} slot owners that it takes "
            f"to agree{_but_answers(owner)}",
            _if_suspected(snapshot, lost),
            "See what the others say of it: " + rcfail("nodes", answering(snapshot, without=owner.node_id)),
        )


def _suspecting(snapshot: Snapshot, owner: Node, alone: frozenset[NodeId]) -> tuple[NodeId, ...]:
    """Who suspects the owner, without those who are cut off themselves, as long as there is a majority elsewhere.

    A node that is cut off suspects everybody, and says cluster_state:fail: that tells of it, not of the owner.
    """
    if snapshot.electorate.quorum is not Known.YES:
        return owner.suspected_by
    heard = (each for each in owner.suspected_by if each not in alone)
    return tuple(each for each in heard if not held_for_dead(snapshot, snapshot.nodes[each]))


def _without_majority(snapshot: Snapshot) -> frozenset[NodeId]:
    """The nodes whose own view trusts too few voters for a quorum."""
    alone: set[NodeId] = set()
    for each in snapshot.groups:
        beliefs = (each.table.by_id.get(voter) for voter in snapshot.electorate.voters)
        if sum(1 for belief in beliefs if belief and not belief.flagged) < snapshot.electorate.needed:
            alone.update(each.observers)
    return frozenset(alone)


def _if_suspected(snapshot: Snapshot, lost: bool) -> str:
    if not lost:
        return "If a majority comes to suspect it, it is declared failed and its slots stop."
    if snapshot.electorate.quorum is Known.YES:
        return "Clients that do not reach it have no access to these slots, and soon it is declared failed."
    return "Clients that do not reach it have no access to these slots, and without a quorum nobody replaces it."


def slots_disputed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots that two nodes or more claim, each in its own view."""
    quarrels: dict[tuple[NodeId, ...], list[Stretch]] = {}
    for stretch in snapshot.stretches:
        if len(stretch.confirmed) > 1:
            quarrels.setdefault(tuple(claim.node_id for claim in stretch.confirmed), []).append(stretch)
    for claimants, parts in quarrels.items():
        ranges = _ranges(parts)
        loser = snapshot.nodes[claimants[-1]]
        yield Finding(
            "slots-disputed",
            Severity.CRITICAL,
            _slots(ranges),
            f"{slots_text(ranges)} claimed by {listing((_claim(snapshot, each) for each in parts[0].confirmed), 9)}",
            _what_is_lost(snapshot, claimants),
            f"Keep clients away from {called(loser)} before the two meet again, and see what each of them holds: "
            + _recovery(snapshot, loser),
        )


def _claim(snapshot: Snapshot, claim: Claim) -> str:
    view = snapshot.by_observer[claim.node_id]
    believers = sum(1 for each in claim.observers if each != claim.node_id)
    state = f", cluster_state:{view.vitals.cluster.state}" if view.vitals.cluster.state else ""
    node = snapshot.nodes[claim.node_id]
    agree = f"{counted(believers, 'other view')} agree{'s' if believers == 1 else ''}"
    return f"{called(node)} with epoch {claim.config_epoch} ({agree}{state})"


def _what_is_lost(snapshot: Snapshot, claimants: tuple[NodeId, ...]) -> str:
    winner, *losers = (snapshot.nodes[each] for each in claimants)
    writing = [each for each in losers if each.view and each.view.vitals.cluster.state != "fail"]
    # The greater config epoch wins, the smaller id among equals (clusterUpdateSlotsConfigWith and
    # clusterHandleConfigEpochCollision, cluster_legacy.c).
    if writing:
        names = listing(called(each) for each in writing)
        return (
            f"Clients can write to both: when they meet, {called(winner)} wins, and what {names} took is thrown away."
        )
    names = listing(called(each) for each in losers)
    return f"When they meet, {called(winner)} wins, and what {names} took without the others is thrown away."


def slots_not_claimed(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Slots that views give to a node which answers us and does not claim them, and nobody else does."""
    orphans: dict[NodeId, list[Stretch]] = {}
    for stretch in snapshot.stretches:
        if stretch.owner is None and stretch.claims:
            named_most = max(stretch.claims, key=lambda claim: (len(claim.observers), claim.node_id))
            orphans.setdefault(named_most.node_id, []).append(stretch)
    for node_id, parts in orphans.items():
        yield _not_claimed(snapshot, snapshot.nodes[node_id], parts)


def _not_claimed(snapshot: Snapshot, node: Node, parts: list[Stretch]) -> Finding:
    ranges = _ranges(parts)
    observers = max((claim.observers for claim in parts[0].claims if claim.node_id == node.node_id), key=len)
    said = node.view.vitals.cluster if node.view else None
    says = f"; it says cluster_state:{said.state}" if said and said.state else ""
    return Finding(
        "slots-not-claimed",
        Severity.CRITICAL,
        of_node(node),
        f"{len(observers)} of {counted(peers(snapshot, node.node_id), 'other view')} give {slots_text(ranges)} to "
        f"{called(node)}, which does not claim what it is given{says}",
        "Clients are sent to a node that refuses these keys, while cluster_state can be ok on every node.",
        "See who holds their keys, and let it claim them again: " + _recovery(snapshot, node),
    )


def _and_the_others(snapshot: Snapshot) -> str:
    """What the slots take down with them: the rest of a sentence. It depends on cluster-require-full-coverage."""
    views = (snapshot.by_observer[voter] for voter in snapshot.electorate.reachable)
    required = {view.vitals.config.require_full_coverage for view in views}
    if True in required:
        return ", and all other keys with them (cluster-require-full-coverage yes)"
    if required == {False}:
        return ", all other keys are served (cluster-require-full-coverage no)"
    return ", and unless cluster-require-full-coverage is no, all other keys with them"


def _recovery(snapshot: Snapshot, node: Node | None = None) -> str:
    target = (str(node.endpoint or node.node_id),) if node is not None else ()
    return rcfail("recover", answering(snapshot), *target, "--dry-run")


def _owners(snapshot: Snapshot) -> Iterator[Node]:
    return (snapshot.nodes[voter] for voter in snapshot.electorate.voters)


def _ranges(parts: list[Stretch]) -> list[SlotRange]:
    ranges: list[SlotRange] = []
    for part in parts:
        _extend(ranges, part)
    return ranges


def _extend(ranges: list[SlotRange], part: Stretch) -> None:
    """Add a stretch behind the others, joined where it follows at once."""
    if ranges and ranges[-1][1] + 1 == part.first:
        ranges[-1] = (ranges[-1][0], part.last)
    else:
        ranges.append((part.first, part.last))


def _slots(ranges: list[SlotRange]) -> Subject:
    pieces = (str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return Subject(SubjectKind.SLOT, ",".join(pieces))


RULES: tuple[Rule, ...] = (
    state.cluster_state_fail,
    slots_uncovered,
    slots_failed,
    slots_suspected,
    slots_disputed,
    slots_not_claimed,
    *open_slots.RULES,
    *writes.RULES,
)

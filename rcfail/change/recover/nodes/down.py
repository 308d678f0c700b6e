"""A node that is down, hangs, or is on its way back: what starts it, what it comes back as, and what is awaited."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.action import Action, ActionKind, Expectation
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import OwnsNothing
from rcfail.change.recover.members.replaced import word_for
from rcfail.change.recover.nodes.comeback import (
    CaughtUp,
    HeldForDead,
    InTurn,
    Loaded,
    NoProcess,
    Placed,
    Trusted,
    Up,
    startable,
)
from rcfail.change.recover.nodes.prospect import Prospect, prospect_of, remarks, stake, taken_over_within_ms, way_out
from rcfail.change.recover.nodes.stage import ANSWERING, Stage, followed, stage_of
from rcfail.change.request import Override
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.health.rules.silence import why
from rcfail.health.standing import standings
from rcfail.health.wording import answering, called, duration, rcfail, tally, who


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """Who has still to be started comes first, and owners of slots before those that copy from them: so nobody waits
    for a primary that is started after it."""
    stands = standings(case.snapshot)
    cut = frozenset(each.subject.id for each in case.found("bus-unreachable"))
    found = [
        (stage, node)
        for node in case.snapshot.nodes.values()
        if node.node_id not in taken | case.decisions.forget
        and (stage := stage_of(case, node, stands[node.node_id], cut)) is not None
    ]
    for stage, node in sorted(found, key=lambda each: (each[0] in ANSWERING, not each[1].slots, each[1].node_id)):
        yield _condition(case, node, stage)


# What is said of it


def _condition(case: Case, node: Node, stage: Stage) -> Condition:
    prospect = prospect_of(case, node)
    actions = _actions(case, node, stage, prospect)
    starts = any(each.kind is ActionKind.START for each in actions)
    awaited = bool(actions) and (starts or not case.decisions.start_cmd)
    perilous = prospect is Prospect.EMPTY and stage in (Stage.DOWN, Stage.GOING) and not starts
    return Condition(
        ConditionCode.NODE_DOWN,
        (node.node_id,),
        called(node),
        _evidence(case.snapshot, node, stage),
        _story(case, node, stage, prospect),
        actions,
        _findings(node, stage),
        "" if awaited and not perilous else _advice(case, node, stage, prospect),
        choice=perilous and bool(case.decisions.start_cmd),
        doubt=(ConditionCode.ADDRESS_WRONG,) if stage is Stage.HIDDEN and not actions else (),
        passes=stage is Stage.DOUBTED,
    )


def _evidence(snapshot: Snapshot, node: Node, stage: Stage) -> str:
    name, others = who(snapshot, node), tally(snapshot, node)
    match stage:
        case Stage.LOADING:
            return f"{name}: {Loaded(node.node_id).check(snapshot).evidence}; {others}"
        case Stage.COPYING:
            return f"{name}: {CaughtUp(node.node_id).check(snapshot).evidence}"
        case Stage.MISPLACED:
            return f"{name}: {Placed(node.node_id).check(snapshot).evidence}"
        case Stage.DOUBTED:
            return f"{name}: {others}, yet it answers us"
        case Stage.CUT:
            return f"{name}: {others}, yet it answers us on its client port"
    return f"{name}: {others}; {why(node)}"


def _story(case: Case, node: Node, stage: Stage, prospect: Prospect) -> str:
    snapshot, name = case.snapshot, called(node)
    match stage:
        case Stage.HIDDEN:
            return "Too few of the others miss it: it died just now, it is elsewhere, or only our way to it is broken."
        case Stage.HANGS:
            return " ".join(
                (
                    "Its process lives and holds its data in memory, so no second one is started beside it.",
                    *remarks(case, node, prospect),
                )
            )
        case Stage.CUT:
            return "It is not down: the others get no answer from it on the cluster bus, and treat it as dead."
        case Stage.LOADING:
            return f"{name} is back and reads its data set: do not start it again, it serves when that is done."
        case Stage.DOUBTED:
            return Trusted(node.node_id).check(snapshot).evidence + ". The flag goes away by itself."
        case Stage.MISPLACED | Stage.COPYING:
            return f"{name} has just been started and finds its place by itself."
    return " ".join(remarks(case, node, prospect))


def _findings(node: Node, stage: Stage) -> tuple[str, ...]:
    """Those of health that are only about this: the codes of a lost shard are not, unless the node owned it."""
    own = ["node-failed", "node-silent", "node-suspected", "node-ghost", "node-loading", "node-frozen"]
    if stage is Stage.CUT:
        own.append("bus-unreachable")
    if stage is Stage.COPYING:
        own.extend(("replica-syncing", "replica-link-down"))
    if node.slots:
        own.extend(("slots-failed", "slots-suspected", "failover-pending", "failover-blocked", "cluster-state-fail"))
        own.append("quorum-lost")
    return tuple(own)


# What the operator does


def _advice(case: Case, node: Node, stage: Stage, prospect: Prospect) -> str:
    snapshot, host = case.snapshot, node.host or "its host"
    place, word = answering(snapshot, node.node_id), word_for(node)
    follow = rcfail("recover", place, word, "--wait")
    match stage:
        case Stage.DOWN | Stage.GOING:
            return _to_start(case, node, prospect, follow)
        case Stage.HIDDEN:
            again = rcfail("recover", place, word, "--dry-run")
            soon = duration(2 * node_timeouts_ms(snapshot)[1])
            return (
                f"If it died just now, the others agree on that within {soon}: {again}. Else ask from another machine"
            )
        case Stage.HANGS:
            return (
                f"On {host}: let a stopped process go on (kill -CONT PID), resume a paused machine, mend a stalled "
                f"disk; then {follow}. If it never answers again, end it (kill -KILL PID) and start it anew"
            )
        case Stage.CUT:
            port, well = node.address.bus_port or "client port + 10000", rcfail("health", place, "--wait", "60s")
            return f"Let every node reach {host} on port {port}, and {host} reach theirs; then: {well}"
    return f"It comes by itself; follow it: {follow}"


def _to_start(case: Case, node: Node, prospect: Prospect, follow: str) -> str:
    place, word, host = answering(case.snapshot, node.node_id), word_for(node), node.host or "its host"
    start = rcfail("recover", place, word, "--start-cmd", case.decisions.start_cmd or "CMD")
    instead = way_out(case.snapshot, node)
    if prospect is Prospect.EMPTY:
        return (
            f"{instead[:1].upper()}{instead[1:]}. Only if that cannot be and the data may go: "
            f"{start} {Override.DATA_LOSS.value}"
        )
    first = "When a replica has taken over, start" if prospect is Prospect.AFTER_FAILOVER else "Start"
    gone = f". If it is gone for good: {rcfail('recover', place, '--forget', word)}" if not node.slots else ""
    if prospect is Prospect.WITH_SLOTS and instead:
        gone = f". To keep what only its replicas hold, {instead}"
    return f"{first} it on {host}, and follow it: {follow}; or let it be started: {start}{gone}"


# What is done


def _actions(case: Case, node: Node, stage: Stage, prospect: Prospect) -> tuple[Action, ...]:
    """The whole way from here. Stages behind it are left out, so a later run goes on from where the node stands."""
    waits, wait = _waits(case, node), case.decisions.wait
    if not followed(case) or stage is Stage.CUT:
        return ()
    match stage:
        case Stage.LOADING:
            return waits
        case Stage.DOUBTED | Stage.MISPLACED:
            return waits[1:]
        case Stage.COPYING:
            return waits[2:]
    starting = _starting(case, node, stage, prospect)
    return (*starting, *waits) if starting or wait else ()


def _waits(case: Case, node: Node) -> tuple[Action, ...]:
    name, each = called(node), node.node_id
    rejoined = "is trusted again and has its place"
    copied = "has all data of its primary" if node.role is Role.REPLICA or not node.slots else "has its data"
    return (
        _waiting(case, each, f"wait until {name} answers and is loaded", "answers", Up(each), Loaded(each)),
        _waiting(case, each, f"wait until {name} {rejoined}", "rejoined", Up(each), Trusted(each), Placed(each)),
        _waiting(case, each, f"wait until {name} {copied}", "in-sync", Up(each), CaughtUp(each)),
    )


def _waiting(case: Case, node: NodeId, title: str, aim: str, *demands: Expectation, within_ms: int = 0) -> Action:
    bound_ms = within_ms or round(case.decisions.within_s * 1000)
    return Action(ActionKind.WAIT, node, title, (InTurn(demands),), aims=(aim,), within_ms=bound_ms)


def _starting(case: Case, node: Node, stage: Stage, prospect: Prospect) -> tuple[Action, ...]:
    """The operator's command, once nobody but the node itself can bring its slots back; nothing where it may not run.

    A node that is only silent to us is not started, unless its own host says that nothing listens there.
    """
    refused = node.silence is not None and node.silence.reason is SilenceReason.REFUSED
    if not case.decisions.start_cmd or not startable(node) or (stage is Stage.HIDDEN and not refused):
        return ()
    allowed = Override.DATA_LOSS in case.decisions.given
    if prospect is Prospect.EMPTY and not allowed:
        return ()
    each, name, soon_ms = node.node_id, called(node), taken_over_within_ms(case.snapshot)
    before = []
    if stage is not Stage.DOWN:
        title = f"wait until the others agree that {name} is dead"
        before.append(_waiting(case, each, title, "dead", HeldForDead(each), within_ms=soon_ms))
    if prospect is Prospect.AFTER_FAILOVER:
        title = f"wait until a replica has taken over from {name}"
        before.append(_waiting(case, each, title, "taken-over", OwnsNothing(each), within_ms=soon_ms))
    start = Action(
        ActionKind.START,
        each,
        f"start {name}",
        (Up(each),),
        guards=(NoProcess(each), HeldForDead(each)),
        within_ms=round(case.decisions.within_s * 1000),
        loses=stake(case.snapshot, node) if prospect is Prospect.EMPTY else (),
        command=case.decisions.start_cmd,
    )
    return (*before, start)

"""Dead ids that the nodes still remember: forgotten by all of them at once, and still forgotten after the ban."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.members import ban
from rcfail.change.recover.members.forgetting import Unheard, followers, forgetting
from rcfail.change.recover.members.replaced import pairs, word_for
from rcfail.cluster.dialect import comes_back_running
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.health.standing import Standing, dead_for_ms, standings
from rcfail.health.wording import answering, called, counted, duration, named, rcfail, slots_text, tally, who

_SLACK_MS = 10_000
_NO_WAY_BACK = (Standing.REPLACED, Standing.NO_ADDRESS)


def questions(case: Case) -> Iterator[Question]:
    """How long a ban lasts, where somebody may be forgotten."""
    if any(_dead(case)):
        yield from ban.questions(case)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """Who is forgotten now, and then who is not before the operator says or does something.

    A replaced node is forgotten at the end of the chain that brings in the one that stands for it.
    """
    chained = {pair.old.node_id for pair in pairs(case)}
    asked = case.decisions.forget
    dead = [node for node in _dead(case) if node.node_id not in chained]
    due = [
        node
        for node in dead
        if _objection(case, node) is None
        and (node.node_id in asked or (node.node_id not in taken and _cannot_return(case, node)))
    ]
    for at, node in enumerate(due, start=1):
        yield _to_forget(case, node, last=at == len(due))
    for node_id in sorted(asked & case.snapshot.nodes.keys()):
        node = case.snapshot.nodes[node_id]
        if (objection := _objection(case, node)) is not None and node_id not in chained:
            yield _refused(case, node, *objection)
    for node in dead:
        if node not in due and not node.slots and node.node_id not in asked | taken:
            yield _to_decide(case, node)


def _dead(case: Case) -> Iterator[Node]:
    """Whoever does not answer and has no way back, is dead for long, or was given up by the operator."""
    stands = standings(case.snapshot)
    for node in case.snapshot.nodes.values():
        given_up = node.node_id in case.decisions.forget and node.view is None
        if given_up or stands[node.node_id] in (Standing.GHOST, *_NO_WAY_BACK):
            yield node


def _cannot_return(case: Case, node: Node) -> bool:
    """Another id answers where it was, it owns nothing, and the data of its shard is with others.

    The nodes take the address away from an id when another one answers there (clusterProcessPacket), so who has none
    was replaced too. A replica whose primary is dead as well may have held the last copy.
    """
    if node.slots or standings(case.snapshot)[node.node_id] not in _NO_WAY_BACK:
        return False
    primary = case.snapshot.node(node.primary_id)
    return node.role is not Role.REPLICA or primary is None or not primary.slots or primary.view is not None


def _objection(case: Case, node: Node) -> tuple[str, str] | None:
    """Why a node must not be forgotten now, and what to do first, a clause each."""
    name, place = called(node), answering(case.snapshot, node.node_id)
    again = rcfail("recover", place, "--forget", word_for(node))
    if node.view is not None:
        first = "move its slots away and stop its process" if node.slots else "stop its process"
        return f"{name} answers, so it is not gone", f"{first}, then {again}"
    if node.slots:
        first = rcfail("recover", place, word_for(node), "--dry-run")
        told = f"{name} owns {slots_text(node.slots)}, and they would be nobody's"
        return told, f"let another node own them, see {first}, then {again}"
    heard = Unheard(node.node_id).check(case.snapshot)
    if heard.refuses and not node.failed_by:
        first = "stop its process on its host and wait until the others miss it"
        return f"{name} is silent to us alone, or since a moment ago: {heard.evidence}", f"{first}, then {again}"
    return None


def _to_forget(case: Case, node: Node, *, last: bool) -> Condition:
    why = (
        "You say that it will never come back"
        if node.node_id in case.decisions.forget
        else "Another node stands where it was, and it owns nothing"
    )
    told = " ".join((f"{why}: every node that answers is told to forget it.", *_remarks(case, node)))
    return _condition(case, node, told, last=last)


def _remarks(case: Case, node: Node) -> Iterator[str]:
    """What would bring it back, a sentence each."""
    snapshot = case.snapshot
    if node.address.endpoint is None:
        yield "If an empty node was started in its place, name it first with --at HOST:PORT, and it is taken in."
    if down := _may_return(case, node):
        again = "answers" if len(down) == 1 else "answer"
        yield f"When {named(snapshot, down)} {again} again, the others may hear of it anew: run this again then."
    if any(comes_back_running(view.vitals.server) for view in snapshot.by_observer.values()):
        yield "Should its process still run somewhere, it introduces itself again after the ban: stop it there."
    if behind := followers(snapshot, node.node_id):
        yield f"{named(snapshot, behind)} cannot forget the primary that it follows, so it has to follow another first."


def _may_return(case: Case, node: Node) -> tuple[NodeId, ...]:
    """Silent nodes that are no ghosts themselves: they are not told, and remember it."""
    stands, given_up = standings(case.snapshot), case.decisions.forget
    silent = (each.node_id for each in case.snapshot.nodes.values() if each.view is None)
    return tuple(
        each for each in silent if each != node.node_id and each not in given_up and stands[each] not in _NO_WAY_BACK
    )


def _condition(case: Case, node: Node, story: str, *, last: bool) -> Condition:
    waits = (_missed(case.snapshot, node),) if Unheard(node.node_id).check(case.snapshot).refuses else ()
    return Condition(
        ConditionCode.GHOST,
        _family(case.snapshot, node),
        called(node),
        _evidence(case.snapshot, node),
        story,
        (*waits, forgetting(case, node.node_id, last=last)),
        _FINDINGS,
    )


def _missed(snapshot: Snapshot, node: Node) -> Action:
    """Some hold it for failed, others have just heard of it from them: those ping it, and miss it one node timeout
    later. While anybody hears it, nothing is sent."""
    return Action(
        ActionKind.WAIT,
        node.node_id,
        f"wait until nobody holds {called(node)} for alive",
        (Unheard(node.node_id),),
        aims=("missed",),
        within_ms=2 * node_timeouts_ms(snapshot)[1] + _SLACK_MS,
    )


_FINDINGS = ("node-ghost", "node-noaddr", "node-id-changed", "node-unknown-to-some")


def _family(snapshot: Snapshot, node: Node) -> tuple[NodeId, ...]:
    """The node, and the shard that it was of: who asks for the shard means it too."""
    shard = snapshot.shard_of(node.node_id)
    return tuple(dict.fromkeys((node.node_id, *((shard.primary_id, *shard.replica_ids) if shard else ()))))


def _evidence(snapshot: Snapshot, node: Node) -> str:
    dead_ms = dead_for_ms(snapshot, node)
    text = f"{who(snapshot, node)}: {tally(snapshot, node)}"
    if "noaddr" in node.flags:
        text += ", and it has no address any more"
    if dead_ms is not None:
        text += f", no sign of life for {duration(dead_ms)}"
    forgotten = len(node.unknown_to)
    return text + (f"; {counted(forgotten, 'node')} forgot it already" if forgotten else "")


def _refused(case: Case, node: Node, why: str, first: str) -> Condition:
    return Condition(
        ConditionCode.GHOST,
        _family(case.snapshot, node),
        called(node),
        f"{who(case.snapshot, node)}: {tally(case.snapshot, node)}",
        f"It is not forgotten: {why}.",
        findings=_FINDINGS if not node.slots else (),
        advice=f"{first[0].upper()}{first[1:]}",
    )


def _to_decide(case: Case, node: Node) -> Condition:
    say = rcfail("recover", answering(case.snapshot, node.node_id), "--forget", word_for(node))
    return Condition(
        ConditionCode.GHOST,
        _family(case.snapshot, node),
        called(node),
        _evidence(case.snapshot, node),
        "It owns nothing and is still in every list. It may be down or gone, and only you know which.",
        findings=_FINDINGS,
        advice=f"Start it again with its data folder; or, if it will never come back, say so: {say}",
        choice=True,
    )

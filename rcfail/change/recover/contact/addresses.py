"""Nodes with a wrong address, and owners of slots that have none any more."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.candidates import chosen
from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action, ActionKind
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import apart, reach
from rcfail.change.recover.contact.reach import Together
from rcfail.change.recover.contact.reunion import own_addresses, settling_ms
from rcfail.change.recover.contact.stakes import stakes, unharmed
from rcfail.change.recover.expect import Answers, tables
from rcfail.change.recover.shards.heirs import awaiting, copy_of, heirs, living, promotion
from rcfail.change.recover.shards.lost import no_majority, waiting_ms
from rcfail.change.request import Mode
from rcfail.cluster.failover_stage import Stage, failover_stage
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, redis_cli, slots_text, who

_WRONG = ("self-address-wrong", "address-disputed", "node-duplicate-address")
_GONE = ("node-noaddr", "node-id-changed", "slots-failed", "failover-pending", "failover-blocked", "cluster-state-fail")


def questions(case: Case) -> Iterator[Question]:
    yield from reach.questions(case)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """First who is listed at, or prints, an address that is none of its; then who has none for some; then owners that
    have none for anybody."""
    snapshot = case.snapshot
    met = apart.to_be_met(case)
    for node in snapshot.nodes.values():
        if node.node_id in taken | met:
            continue
        if node.view is not None and node.view.reply is not None:
            yield from _of_one_that_answers(case, node)
    for node in snapshot.nodes.values():
        gone = node.view is None and node.alive is not Known.YES and "noaddr" in node.flags
        shard = snapshot.shard_of(node.node_id)
        if gone and node.slots and node.node_id not in taken and shard is not None:
            yield _without_address(case, node, shard)


# It answers


def _of_one_that_answers(case: Case, node: Node) -> Iterator[Condition]:
    astray, without = _listing_astray(case.snapshot, node), _listing_without(case.snapshot, node)
    if reach.fixed(case, node):
        yield _told_so(case, node, astray)
    elif without:
        yield _unaddressed(case, node, without)
    elif astray and not _heard_by(node, astray):
        yield _moved(case, node, astray)
    elif reach.stale(case, node):
        yield _stale(case, node)


def _listing_astray(snapshot: Snapshot, node: Node) -> tuple[NodeId, ...]:
    return tuple(
        observer
        for observer, view in tables(snapshot)
        if observer != node.node_id
        and (said := view.belief(node.node_id)) is not None
        and reach.listed_astray(snapshot, said)
    )


def _listing_without(snapshot: Snapshot, node: Node) -> tuple[NodeId, ...]:
    return tuple(
        observer
        for observer, view in tables(snapshot)
        if observer != node.node_id and (said := view.belief(node.node_id)) is not None and said.noaddr
    )


def _heard_by(node: Node, observers: tuple[NodeId, ...]) -> bool:
    """All who list it astray hear it all the same: then they reach it there, and only this host does not."""
    return not any(each in (*node.suspected_by, *node.failed_by) for each in observers)


def _told_so(case: Case, node: Node, astray: tuple[NodeId, ...]) -> Condition:
    """A setting says it: no MEET helps, for it tells that address to whoever meets it."""
    snapshot, own = case.snapshot, node.view.own if node.view else None
    assert node.view is not None
    assert own is not None
    here, settings = node.view.endpoint, reach.told_to_announce(case, node)
    told = listing(f"cluster-announce-{name} {value}" for name, value in sorted(settings.items()))
    wrong = {"ip": here.host, "port": str(here.port)}
    sets = [
        redis_cli(here, "CONFIG", "SET", f"cluster-announce-{name}", wrong[name])
        for name in ("ip", "port")
        if name in settings and settings[name] != wrong[name]
    ]
    listed = f"{counted(len(astray), 'node')} list{'s' if len(astray) == 1 else ''} it" if astray else "it lists itself"
    place = answering(snapshot, node.node_id)
    return _wrong(
        node,
        f"{who(snapshot, node)} answers us at {here}, and {listed} at {own.address}, where it does not; it is told to: "
        f"{told}",
        "Clients are sent to an address at which it is not, and a MEET changes nothing, for it announces that address "
        "again. rcfail changes no settings.",
        advice=f"If that is where it shall be found, write it into its redis.conf and set it: {' and '.join(sets)}; "
        f"then: {rcfail('health', place, '--wait', '60s')}. If clients do reach {own.address} and this host alone does "
        f"not: {rcfail('recover', place, '--natmap', f'{own.address}={here}')}",
    )


def _unaddressed(case: Case, node: Node, without: tuple[NodeId, ...]) -> Condition:
    snapshot = case.snapshot
    return _wrong(
        node,
        f"{who(snapshot, node)} answers, and {counted(len(without), 'other node')} "
        f"{'has' if len(without) == 1 else 'have'} no address for it",
        "Another node stood at its address for a while, so they took that away. Its id answers, so it is the same "
        "node: it is met again where it is now.",
        _met_again(case, node, without),
        code=ConditionCode.OWNER_WITHOUT_ADDRESS if node.slots else ConditionCode.ADDRESS_WRONG,
        advice="" if reach.reached_at(snapshot, node) else _by_hand(snapshot, node),
        findings=("node-noaddr", *_WRONG),
    )


def _moved(case: Case, node: Node, astray: tuple[NodeId, ...]) -> Condition:
    snapshot = case.snapshot
    return _wrong(
        node,
        f"{who(snapshot, node)} answers us at {node.endpoint}, and {counted(len(astray), 'other node')} "
        f"look{'s' if len(astray) == 1 else ''} for it where it is not",
        "It has a new address, and they did not hear of it: it is met again where it is now.",
        _met_again(case, node, astray),
        advice="" if reach.reached_at(snapshot, node) else _by_hand(snapshot, node),
        findings=(*_WRONG, "node-suspected", "node-failed", "bus-unreachable", "link-missing"),
    )


def _stale(case: Case, node: Node) -> Condition:
    own = node.view.own if node.view else None
    assert own is not None
    actions = tuple(own_addresses(case, (node,)))
    return _wrong(
        node,
        f"{who(case.snapshot, node)} says that it is at {own.address}, and does not answer there",
        "It came back at another address, and the others know it. Clients that ask the node itself are sent to the old "
        "one.",
        actions,
        advice="" if actions else _by_hand(case.snapshot, node),
    )


def _met_again(case: Case, node: Node, observers: tuple[NodeId, ...]) -> tuple[Action, ...]:
    """By one of those who miss it; the others hear of it by gossip, or from the node itself."""
    snapshot, at = case.snapshot, reach.reached_at(case.snapshot, node)
    if at is None or not observers:
        return ()
    sender = min((snapshot.nodes[each] for each in observers), key=lambda each: (not each.slots, each.node_id))
    both = (node.node_id, *observers)
    return (
        Action(
            ActionKind.MEET,
            node.node_id,
            f"let {called(sender)} meet {called(node)} at {at}",
            (Together(tuple(sorted({node.node_id, *observers}))),),
            sends=(reach.meet(sender, at),),
            aims=("again",),
            guards=(Answers(node.node_id, node.endpoint), Answers(sender.node_id), *unharmed(case, both)),
            within_ms=settling_ms(snapshot),
            loses=tuple(each.losing for each in stakes(snapshot, both)),
        ),
    )


def _by_hand(snapshot: Snapshot, node: Node) -> str:
    place = answering(snapshot, node.node_id)
    meet = redis_cli(place, "CLUSTER", "MEET", "IP", str(node.endpoint.port if node.endpoint else "PORT"))
    return f"How the others reach it cannot be told from here. With the address that they reach: {meet}"


def _wrong(
    node: Node,
    evidence: str,
    story: str,
    actions: tuple[Action, ...] = (),
    *,
    code: ConditionCode = ConditionCode.ADDRESS_WRONG,
    advice: str = "",
    findings: tuple[str, ...] = _WRONG,
) -> Condition:
    return Condition(code, (node.node_id,), called(node), evidence, story, actions, findings, advice)


# It does not answer


def _without_address(case: Case, node: Node, shard: Shard) -> Condition:
    """Another id stands where it was, so nobody answers for its slots: its replica does, once it is promoted."""
    snapshot = case.snapshot
    gone = "No node has an address for it any more: another id answers where it was, after a reset or without its "
    gone += "nodes.conf. If its process runs elsewhere, name that place with --at."
    if not any(each.view is not None for each in living(snapshot, shard)):
        return _gone(node, shard, snapshot, f"{gone} No replica of it is alive.", advice=_nobody(snapshot))
    if failover_stage(snapshot, shard).stage in (Stage.AGREED, Stage.ELECTION_DUE):
        action = awaiting(snapshot, shard, waiting_ms(snapshot))
        return _gone(node, shard, snapshot, f"{gone} The voters elect a replica by themselves.", (action,))
    found = heirs(case, shard, Mode.FORCE)
    best = None if no_majority(case, shard) else chosen(found)
    if best is not None:
        heir = snapshot.nodes[best.node_id]
        story = (
            f"{gone} Nobody flags it, so no replica stands by itself. {called(heir)} has the most data "
            f"({copy_of(heir)}): told to stand, it gets the votes of the majority."
        )
        return _gone(node, shard, snapshot, story, (promotion(case, shard, heir.node_id, Mode.FORCE),))
    return _gone(node, shard, snapshot, gone, advice=_stuck(case, shard, [each.node_id for each in found]))


def _stuck(case: Case, shard: Shard, found: list[NodeId]) -> str:
    snapshot = case.snapshot
    place = answering(snapshot)
    if not found:
        return _nobody(snapshot)
    target = snapshot.nodes[found[0]]
    word = str(target.endpoint or target.node_id)
    mode = "--takeover" if no_majority(case, shard) else "--force"
    refusals = next((refusing(each.checks) for each in heirs(case, shard, Mode.FORCE)), ())
    why = listing(each.evidence for each in refusals)
    return f"{called(target)} holds a copy, but {why}. See what that takes: " + rcfail(
        "failover", place, word, mode, "--dry-run"
    )


def _nobody(snapshot: Snapshot) -> str:
    look = rcfail("recover", answering(snapshot), "--at", "HOST:PORT", "--dry-run")
    return (
        f"If its process runs somewhere, say where: {look}. If not, its keys are where its files are: start it with "
        "its own nodes.conf and data. The slots are given to nobody without their keys; see rcfail runbook node-noaddr"
    )


def _gone(
    node: Node, shard: Shard, snapshot: Snapshot, story: str, actions: tuple[Action, ...] = (), *, advice: str = ""
) -> Condition:
    without = _listing_without(snapshot, node)
    return Condition(
        ConditionCode.OWNER_WITHOUT_ADDRESS,
        (node.node_id, *shard.replica_ids),
        called(node),
        f"the owner of {slots_text(node.slots)} has no address for {counted(len(without), 'node')} "
        f"({named(snapshot, without)}), and does not answer",
        story,
        actions,
        _GONE,
        advice,
    )

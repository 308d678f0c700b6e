"""A shard whose primary is down: what comes by itself is awaited, what does not is forced where its data allow that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rcfail.change.candidates import Contender, chosen
from rcfail.change.checks import refusing
from rcfail.change.recover.action import Action
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.shards.heirs import awaiting, copy_of, heirs, living, needs_consent, promotion
from rcfail.change.recover.shards.site_lost import without_majority
from rcfail.change.request import Mode, Override
from rcfail.cluster.candidacy import Candidate, candidates
from rcfail.cluster.dialect import stands_again_after_ms, vote_again_after_ms
from rcfail.cluster.failover_stage import FailoverStage, Stage, awaited, failover_stage
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.cluster.vitals import Server
from rcfail.health import restart
from rcfail.health.wording import answering, called, counted, listing, named, rcfail, slots_text, tally

FINDINGS = (
    "slots-failed",
    "slots-suspected",
    "failover-blocked",
    "failover-pending",
    "cluster-state-fail",
    "node-failed",
    "node-suspected",
)
_SLACK_MS = 10_000
_LEAST_MS = 30_000


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """Of each lost shard one, or one of all together where no majority is left to vote for any of them.

    Elections that come by themselves are listed before those that are forced: a voter has one vote an epoch.
    """
    lost = [each for each in case.snapshot.shards if _lost(case, each, taken)]
    bare = [each for each in lost if not living(case.snapshot, each)]
    held = [each for each in lost if each not in bare]
    unvoted = [each for each in held if no_majority(case, each)]
    if unvoted:
        yield without_majority(case, unvoted, waiting_ms(case.snapshot))
    single = [_one(case, each) for each in held if each not in unvoted]
    yield from sorted(single, key=lambda each: any(action.request for action in each.actions))
    yield from (_without_a_copy(case, each) for each in bare)


def _lost(case: Case, shard: Shard, taken: frozenset[NodeId]) -> bool:
    """A primary that answers us is on its way back, or cut off: that is for others to mend. So is one that is started
    again, or awaited, as the operator wants it: it has the newest data."""
    primary = case.snapshot.nodes[shard.primary_id]
    if primary.view is not None or not awaited(case.snapshot, shard) or "noaddr" in primary.flags:
        return False
    followed = case.decisions.wait or bool(case.decisions.start_cmd)
    return not (followed and not case.decisions.fenced and shard.primary_id in taken)


def no_majority(case: Case, shard: Shard) -> bool:
    """Nobody can be elected: too few voters are left, or those who cannot be seen are stopped, as the operator says."""
    votes = case.snapshot.electorate
    if votes.quorum is Known.NO or len(votes.voters) - 1 < votes.needed:
        return True
    return votes.quorum is Known.UNKNOWN and shard.primary_id in case.decisions.fenced


def waiting_ms(snapshot: Snapshot) -> int:
    """How long an election by itself takes at most: the verdict, a vote, and a second one where the first is lost."""
    longest_ms = node_timeouts_ms(snapshot)[1]
    return max(_LEAST_MS, 2 * longest_ms + vote_again_after_ms(longest_ms) + _SLACK_MS)


def _one(case: Case, shard: Shard) -> Condition:
    """With a majority that can vote."""
    snapshot = case.snapshot
    stage, standing = failover_stage(snapshot, shard), candidates(snapshot, shard)
    if comes := _comes(snapshot, stage, standing):
        action = awaiting(snapshot, shard, max(waiting_ms(snapshot), (stage.due_in_ms or 0) + _SLACK_MS))
        return _condition(case, shard, comes, (action,))
    found = heirs(case, shard, Mode.FORCE)
    best = chosen(found)
    if best is None:
        return _stuck(case, shard, standing, found)
    heir = snapshot.nodes[best.node_id]
    story = (
        f"No replica is elected by itself: {obstacles(snapshot, standing) or _unelected(stage)}. "
        f"{called(heir)} has the most data ({copy_of(heir)}); told to stand, it gets the votes of the majority. "
        f"{what_is_lost(snapshot, shard)}"
    )
    return _condition(case, shard, story, (promotion(case, shard, heir.node_id, Mode.FORCE),))


def _comes(snapshot: Snapshot, stage: FailoverStage, standing: Sequence[Candidate]) -> str:
    """Why nothing has to be sent; "" where nothing comes by itself."""
    able = [each for each in standing if each.eligible is Known.YES]
    if not able or any(each.empty for each in able):
        return ""
    heir = snapshot.nodes[stage.candidate or able[0].node_id]
    if stage.stage is not Stage.VOTE_FAILED:
        return f"The voters elect a replica by themselves within seconds, most likely {called(heir)}: nothing is sent."
    server = heir.vitals.server if heir.vitals else Server()
    if not stands_again_after_ms(server, 1) or not _asked(heir):
        return ""
    return (
        f"{called(heir)} was not elected, and stands again by itself 4 node timeouts after that; told to stand sooner "
        f"it would ask for no votes either. Nothing is sent."
    )


def _asked(node: Node) -> bool:
    return node.vitals is not None and "auth-req_sent" in node.vitals.cluster.messages


def _unelected(stage: FailoverStage) -> str:
    return "the vote is overdue" if stage.stage is Stage.VOTE_FAILED else "none asks for votes"


def obstacles(snapshot: Snapshot, standing: Sequence[Candidate]) -> str:
    """`A: it ...; B: it ...`."""
    said = [
        f"{called(snapshot.nodes[each.node_id])}: {listing([text for _, text in each.obstacles])}"
        for each in standing
        if each.obstacles
    ]
    return "; ".join(said[:4])


def what_is_lost(snapshot: Snapshot, shard: Shard) -> str:
    return (
        f"What {called(snapshot.nodes[shard.primary_id])} took last and had sent to nobody is lost by it, also when it "
        f"comes back: it then copies the new primary."
    )


def _condition(case: Case, shard: Shard, story: str, actions: tuple[Action, ...] = (), **more: object) -> Condition:
    snapshot = case.snapshot
    primary = snapshot.nodes[shard.primary_id]
    copies = [f"{called(each)} ({copy_of(each)})" for each in living(snapshot, shard)]
    evidence = f"the primary of {slots_text(shard.slots)} is down: {tally(snapshot, primary)}"
    if copies:
        evidence += f"; {'its replica lives' if len(copies) == 1 else 'its replicas live'}: {listing(copies)}"
    return Condition(
        ConditionCode.SHARD_LOST,
        (shard.primary_id, *shard.replica_ids),
        called(primary),
        evidence,
        story,
        actions,
        FINDINGS,
        **more,  # type: ignore[arg-type]
    )


def _stuck(case: Case, shard: Shard, standing: Sequence[Candidate], found: Sequence[Contender]) -> Condition:
    """A majority stands, and nobody may be promoted as it is."""
    snapshot = case.snapshot
    story = f"No replica is elected by itself: {obstacles(snapshot, standing) or 'none of them answers us'}."
    consented = needs_consent(found)
    start = first_start(snapshot, [snapshot.nodes[shard.primary_id]])
    place = answering(snapshot)
    if consented is not None:
        why = listing([each.evidence for each in refusing(consented.checks)])
        more = rcfail("recover", place, shard.primary_id[:8], Override.DATA_LOSS, "--dry-run")
        return _condition(
            case, shard, f"{story} Forced, it would lose data: {why}.", advice=f"{start}; else: {more}", choice=True
        )
    if not found:
        hollow = [each for each in living(snapshot, shard) if each.view is not None]
        none = "None of them holds data of this shard, so nobody is promoted." if hollow else ""
        return _condition(case, shard, f"{story} {none}".rstrip(), advice=start)
    refusals = refusing(found[0].checks)
    why = listing([f"{each.evidence} ({each.code})" for each in refusals])
    way = next((each.hint for each in refusals if each.hint), "")
    target = snapshot.nodes[found[0].node_id]
    look = rcfail("failover", place, str(target.endpoint or target.node_id), "--force", "--dry-run")
    return _condition(
        case,
        shard,
        f"{story} {called(target)} cannot be forced either: {why}.",
        advice=f"{start}; {f'or: {way}' if way else f'all checks: {look}'}",
    )


def first_start(snapshot: Snapshot, primaries: Sequence[Node]) -> str:
    """A lost primary has the newest data, as far as it saved them."""
    if danger := restart.warning(snapshot, primaries, "failover-blocked"):
        return danger
    word = primaries[0].node_id[:8]
    start = rcfail("recover", answering(snapshot), word, "--start-cmd", "CMD")
    who = named(snapshot, (each.node_id for each in primaries))
    return f"Start {who} again, it has all that it saved: {start}"


def _without_a_copy(case: Case, shard: Shard) -> Condition:
    """Nothing that lives holds its data. The slots stay its own: an owner without the data would serve nothing."""
    snapshot = case.snapshot
    former = [snapshot.nodes[each] for each in (shard.primary_id, *shard.replica_ids)]
    told = listing([f"{each.node_id} at {each.endpoint or each.address}" for each in former], len(former))
    story = (
        f"No copy of {slots_text(shard.slots)} is alive. {counted(len(former), 'node')} held one: {told}. The slots "
        f"are given to nobody else, for their keys are on those nodes' disks alone."
    )
    start = rcfail("recover", answering(snapshot), shard.primary_id[:8], "--start-cmd", "CMD")
    others = " A replica that is started alone keeps its keys too, and is promoted by the same command."
    advice = f"Start the primary first, it had the newest data: {start}.{others if shard.replica_ids else ''}"
    return _condition(case, shard, story, advice=advice)

"""What else goes on: other changes, disagreement about the shard, work that slows it, and what would fail after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, node_timeout_ms, passed, places, warned
from rcfail.change.request import Mode, Override
from rcfail.cluster.ballot import Vote, overlaps
from rcfail.cluster.candidacy import candidates
from rcfail.cluster.dialect import has_slot_migrations
from rcfail.cluster.failover_stage import Stage, failover_stage
from rcfail.cluster.nouns import Belief, NodeId
from rcfail.cluster.snapshot import Known, Node, Snapshot, View
from rcfail.cluster.sync import Sync, sync_of
from rcfail.cluster.vitals import ClusterState
from rcfail.health.rules.open_slots import is_running
from rcfail.health.rules.unprepared import shortcomings
from rcfail.health.wording import called, counted, listing, size

_OTHER, _AGREED, _PAIR, _LOAD = "other-change", "shard-agreed", "pair-after", "load"
_ELECTING = ("auth-req_sent", "auth-req_received", "auth-ack_sent", "auth-ack_received")
_HANDING_OVER = ("mfstart_sent", "mfstart_received")


def other_change(case: Case) -> Check:
    """A move of slots in this shard, or an election anywhere: both end badly when a failover comes between."""
    shard = (case.primary.node_id, case.target.node_id, *(each.node_id for each in case.siblings()))
    moving, electing = [*_open_slots(case, shard), *_migrations(case)], [*_elections(case)]
    found = [*moving, *electing]
    unseen = [] if found else [*_unseen(case)]
    if not found and not unseen:
        return passed(_OTHER, "no slot of the shard is on its way, and nobody is being elected anywhere")
    text = "; ".join(found or unseen)
    if case.mode is Mode.TAKEOVER or (case.mode is Mode.FORCE and case.primary_dead):
        return warned(_OTHER, text)
    hint = f"Wait until it is over. What is under way: {case.rcfail('health')}" if found else ""
    verdict = CheckVerdict.FAIL if found else CheckVerdict.UNKNOWN
    # An election is over within seconds. Slots that are half moved stay so until somebody goes on.
    return replace(case.check(_OTHER, verdict, text, Override.OTHER_CHANGE, hint), passes_soon=not moving)


def _open_slots(case: Case, shard: tuple[NodeId, ...]) -> Iterator[str]:
    """Marks on either end; since Valkey 8.0 replicas repeat those of their primary."""
    slots = case.primary.slots
    marked: set[int] = set()
    for observer, view in case.snapshot.by_observer.items():
        own = view.own
        if own is None or not (own.migrating or own.importing):
            continue
        marked |= {
            slot
            for slot, other in (*own.migrating, *own.importing)
            if observer in shard or other in shard or overlaps(((slot, slot),), slots)
        }
    if marked:
        some = listing(map(str, sorted(marked)))
        yield f"{counted(len(marked), 'slot')} of the shard {'is' if len(marked) == 1 else 'are'} half moved ({some})"


def _migrations(case: Case) -> Iterator[str]:
    jobs = {
        job.get("name", "")
        for view in case.snapshot.by_observer.values()
        for job in view.slot_migrations or ()
        if is_running(job) and case.primary.node_id in (job.get("source_node"), job.get("target_node"))
    }
    if jobs:
        yield f"{counted(len(jobs), 'slot migration')} to or from {called(case.primary)}"


def _elections(case: Case) -> Iterator[str]:
    """What moved between the two looks, and what a server says of itself."""
    busy = [
        observer
        for observer, view in case.snapshot.by_observer.items()
        if view.vitals.server.paused_reason == "failover_in_progress"
    ]
    if busy:
        yield f"a failover is under way: {places(case.snapshot, tuple(busy))} holds writes back for it"
    for failed, due in _due(case):
        if due is Known.YES:
            yield f"an election for {called(failed)} is due, and takes the same votes"
    if case.seen.before is None:
        return
    moved = stirred(case.seen.before, case.snapshot) if case.seen.stirred is None else case.seen.stirred
    if moved:
        yield f"between two looks just now {listing(moved)}"


def _due(case: Case) -> Iterator[tuple[Node, Known]]:
    """The failed primaries of other shards, each with whether a replica of it is about to ask for votes.

    A voter has one vote an epoch (lastVoteEpoch, cluster_legacy.c): who asks for it second waits for its next turn. A
    shard that nobody can take over holds nobody up.
    """
    for shard in case.snapshot.shards:
        if shard.primary_id == case.primary.node_id or not shard.slots:
            continue
        if not case.snapshot.nodes[shard.primary_id].failed_by:
            continue
        found = failover_stage(case.snapshot, shard)
        if found.stage not in (Stage.AGREED, Stage.ELECTION_DUE):
            continue
        able = {each.eligible for each in candidates(case.snapshot, shard)}
        if able & {Known.YES, Known.UNKNOWN}:
            yield case.snapshot.nodes[shard.primary_id], Known.YES if Known.YES in able else Known.UNKNOWN


def stirred(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What any server did between two looks that is part of an election, as phrases; () for nothing."""
    both = ((before.by_observer.get(observer), view) for observer, view in after.by_observer.items())
    return tuple(dict.fromkeys(text for then, now in both if then is not None for text in _moved(then, now)))


def _moved(earlier: View, later: View) -> Iterator[str]:
    then, now = earlier.vitals.cluster, later.vitals.cluster
    if then.current_epoch is not None and now.current_epoch is not None and now.current_epoch != then.current_epoch:
        yield f"the cluster's epoch went from {then.current_epoch} to {now.current_epoch}"
    if not (then.state and now.state):
        return
    if _counted(then, _ELECTING) != _counted(now, _ELECTING):
        yield "votes were asked for"
    if _counted(then, _HANDING_OVER) != _counted(now, _HANDING_OVER):
        yield "a graceful failover was begun"


def _counted(said: ClusterState, messages: tuple[str, ...]) -> list[int | None]:
    return list(map(said.messages.get, messages))


def _unseen(case: Case) -> Iterator[str]:
    """What has to be known before it can be said that nothing goes on."""
    for failed, _ in _due(case):
        yield f"{called(failed)} has failed, and whether a replica of it asks for votes now is not known"
    before = case.seen.before
    if before is None:
        yield "there was no time for a second look, so it is not known whether somebody is being elected"
        return
    views = case.snapshot.by_observer
    fell = tuple(each for each in before.by_observer if each not in views)
    if fell:
        yield f"{places(case.snapshot, fell)} fell silent between two looks just now"
    pair = (case.target.node_id, *(() if case.primary_dead else (case.primary.node_id,)))
    mute = tuple(each for each in pair if each in views and not views[each].vitals.cluster.state)
    if mute:
        yield f"{places(case.snapshot, mute)} does not tell its epoch and its counters (CLUSTER INFO)"
    own = case.primary.view
    if own is None and not case.primary_dead:
        yield f"{called(case.primary)} is silent to us, so it is not known whether slots of it are on their way"
    if own is not None and own.slot_migrations is None and has_slot_migrations(own.vitals.server):
        yield f"{called(case.primary)} does not tell whether slots are on their way (CLUSTER GETSLOTMIGRATIONS)"


def shard_agreed(case: Case) -> Check:
    """The voters on the target's side, and the target: who owns the shard's slots, and since which epoch."""
    snapshot, primary = case.snapshot, case.primary.node_id
    mine = _claim(snapshot, case.target.node_id, primary)
    together = case.ballot.of(*(each for each in Vote if each not in (Vote.DEAD, Vote.APART)))
    seen = [each for each in together if each in snapshot.by_observer and snapshot.by_observer[each].reply]
    unseen = tuple(each for each in together if each not in seen)
    odd = tuple(each for each in seen if mine is not None and _claim(snapshot, each, primary) != mine)
    if mine is None or (unseen and not odd):
        who = places(snapshot, unseen) if mine is not None else called(case.target)
        text = f"{who} is silent to us, so it is not known who owns the shard's slots there"
        return _disagreed(case, CheckVerdict.UNKNOWN, text)
    if odd:
        slots, epoch = mine
        count = sum(last - first + 1 for first, last in slots)
        text = f"{places(snapshot, odd)} see another owner, or another epoch, than the target does: "
        text += f"{count} slots of {called(case.primary)} in epoch {epoch}"
        return _disagreed(case, CheckVerdict.FAIL, text)
    text = f"{counted(len(seen), 'voter')} and the target agree on the owner and on epoch {mine[1]}"
    return passed(_AGREED, text)


def _disagreed(case: Case, verdict: CheckVerdict, text: str) -> Check:
    if case.mode is Mode.TAKEOVER:
        return warned(_AGREED, text)
    return case.check(_AGREED, verdict, text, Override.SHARD_AGREED)


def _claim(snapshot: Snapshot, observer: NodeId, owner: NodeId) -> tuple[tuple[tuple[int, int], ...], int] | None:
    view = snapshot.by_observer.get(observer)
    belief: Belief | None = view.belief(owner) if view else None
    return (belief.slots, belief.config_epoch) if belief else None


def pair_after(case: Case) -> Check:
    """What would fail once the roles are changed: logins, users, memory, copies for writes."""
    shard = case.shard
    found = [each.seen for each in shortcomings(case.snapshot, shard, case.primary, case.target)] if shard else []
    if found:
        return warned(_PAIR, "; ".join(found))
    unread = [node for node in (case.target, case.primary) if node.view is not None and node.view.settings is None]
    if unread:
        return warned(_PAIR, f"{listing(map(called, unread))} does not tell its settings, so they cannot be compared")
    if case.primary.view is None:
        return warned(_PAIR, f"{called(case.primary)} is silent, so users and memory of the two cannot be compared")
    return passed(_PAIR, "logins, users, memory and the copies that writes ask for fit, as far as we may see them")


def load(case: Case) -> Check:
    """What makes it slower, or costs a full copy after it."""
    found = [*_forks(case), *_copies(case), *_backlog(case)]
    return (
        warned(_LOAD, "; ".join(found)) if found else passed(_LOAD, "no fork and no full copy; the backlog is enough")
    )


def _forks(case: Case) -> Iterator[str]:
    for node in (case.target, case.primary):
        if node.vitals is None:
            continue
        stored = node.vitals.storage
        if stored.bgsave_in_progress is None:
            yield f"{called(node)} does not tell whether it saves its data"
        if stored.bgsave_in_progress:
            yield f"{called(node)} is saving its data (fork)"
        if stored.aof_rewrite_in_progress:
            yield f"{called(node)} is rewriting its append-only file (fork)"


def _copies(case: Case) -> Iterator[str]:
    if case.primary_dead:
        return
    for node in case.siblings():
        if node.view is not None and sync_of(case.snapshot, node) is Sync.SYNCING:
            yield f"{called(node)} is taking a full copy, and has to begin anew after it"


def _backlog(case: Case) -> Iterator[str]:
    """Who follows the new primary without a full copy has to find its place in the backlog."""
    rate = _written_per_s(case)
    sizes = [node.vitals.replication.backlog_size for node in (case.target, case.primary) if node.vitals]
    known = [each for each in sizes if each is not None]
    if rate is None:
        if not case.primary_dead:
            yield "how much is written, and so whether the backlog is enough, cannot be told"
        return
    window_ms = node_timeout_ms(case.primary)
    needed = rate * window_ms / 1000
    if known and needed > min(known):
        yield (
            f"the backlog of {size(min(known))} holds less than is written in one node timeout "
            f"({size(round(needed))}): replicas may need a full copy"
        )


def _written_per_s(case: Case) -> float | None:
    """Bytes of the stream a second, between the two looks."""
    earlier = case.seen.before.node(case.primary.node_id) if case.seen.before else None
    then, now = _written(earlier), _written(case.primary)
    if then is None or now is None or now[1] < then[1]:
        return None
    took_ms = now[0] - then[0]
    return (now[1] - then[1]) * 1000 / took_ms if took_ms > 0 else 0.0


def _written(node: Node | None) -> tuple[int, int] | None:
    if node is None or node.view is None or node.alive is not Known.YES:
        return None
    offset = node.view.vitals.replication.primary_offset
    return None if offset is None else (node.view.asked_at_unix_ms, offset)

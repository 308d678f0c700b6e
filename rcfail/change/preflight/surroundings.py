"""What else is going on: other changes, opinions about the shard, and what will be noticed afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, UNKNOWN, WARN, Grounds
from rcfail.change.request import Mode, Override
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.rules.unprepared import shortcomings
from rcfail.health.wording import called, counted, duration, listing, size

_ELECTION = (
    "auth-req_sent",
    "auth-req_received",
    "auth-ack_sent",
    "auth-ack_received",
    "mfstart_sent",
    "mfstart_received",
)
_MOST = 3


def other_change(grounds: Grounds) -> Check:
    """No slot of the shard is on its way, and nobody stood for election between the two looks."""
    code = "other-change"
    found = [*_open_slots(grounds), *_elections(grounds)]
    tolerant = grounds.mode is Mode.TAKEOVER or (grounds.mode is Mode.FORCE and grounds.primary.alive is Known.NO)
    if found:
        text = listing(found, _MOST)
        return grounds.check(code, WARN if tolerant else FAIL, text, Override.OTHER_CHANGE, "" if tolerant else _LOOK)
    if grounds.seen.before is None:
        text = "there was time for one look alone, so what is going on cannot be told"
        return grounds.check(code, WARN if tolerant else UNKNOWN, text, Override.OTHER_CHANGE)
    return grounds.check(code, PASS, "no slot of the shard is open, and no election came between two looks")


_LOOK = "See what is under way: rcfail health"


def _open_slots(grounds: Grounds) -> Iterator[str]:
    """Markers stand on the node's own line alone; the atomic kind is listed by the server itself."""
    shard = grounds.shard
    for node_id in (shard.primary_id, *shard.replica_ids) if shard else ():
        view = grounds.view(node_id)
        own = view.own if view else None
        if own is not None and (number := len(own.migrating) + len(own.importing)):
            yield f"{counted(number, 'slot')} open on {grounds.called(node_id)}"
        for each in (view.slot_migrations or ()) if view else ():
            if each.get("state", "").lower() not in _OVER:
                yield f"a slot migration is under way on {grounds.called(node_id)}"
                break


_OVER = ("success", "failed", "canceled", "cancelled", "")


def _elections(grounds: Grounds) -> Iterator[str]:
    before, now = grounds.seen.before, grounds.snapshot
    if before is None:
        return
    if (old := _newest(before)) != (new := _newest(now)):
        yield f"the current epoch grew from {old} to {new} between two looks"
    for node_id, view in now.by_observer.items():
        earlier = before.by_observer.get(node_id)
        if earlier is None or not earlier.vitals.cluster.messages or not view.vitals.cluster.messages:
            continue
        then, after = earlier.vitals.cluster.messages, view.vitals.cluster.messages
        if any(after.get(name, 0) != then.get(name, 0) for name in _ELECTION):
            yield f"{grounds.called(node_id)} took part in an election between two looks"
            return


def _newest(snapshot: Snapshot) -> int:
    said = (view.vitals.cluster.current_epoch for view in snapshot.views)
    return max((each for each in said if each is not None), default=0)


def shard_agreed(grounds: Grounds) -> Check:
    """All voters on the target's side name the same owner and epoch for the shard's slots, as the target does."""
    code, primary = "shard-agreed", grounds.primary
    others = [each for each in (grounds.request.target, *grounds.voters_here) if not _agrees(grounds, each)]
    if others:
        text = f"{grounds.named(tuple(dict.fromkeys(others)))} do not list {called(primary)} with its "
        text += f"{counted(primary.slot_count, 'slot')} in epoch {primary.config_epoch}"
        verdict = WARN if grounds.mode is Mode.TAKEOVER else FAIL
        return grounds.check(code, verdict, text, Override.SHARD_AGREED, "Wait until they agree: rcfail wait settled")
    return grounds.check(
        code, PASS, f"the voters that it hears agree on {called(primary)} in epoch {primary.config_epoch}"
    )


def _agrees(grounds: Grounds, observer: NodeId) -> bool:
    view = grounds.view(observer)
    if view is None:
        return True  # silent to us: the votes tell of it
    said = view.belief(grounds.request.primary)
    primary = grounds.primary
    return said is not None and (said.slots, said.config_epoch) == (primary.slots, primary.config_epoch)


def pair_after(grounds: Grounds) -> Check:
    """What the failover would bring to light: logins, users, memory, copies for writes."""
    shard, primary, target = grounds.shard, grounds.primary, grounds.target
    if shard is None or primary.view is None or target.view is None:
        return grounds.check("pair-after", WARN, "settings of the two cannot be compared: one of them is silent")
    found = list(shortcomings(grounds.snapshot, shard, primary, target))
    if found:
        return grounds.check("pair-after", WARN, listing((each.seen for each in found), _MOST), hint=found[0].hint)
    return grounds.check("pair-after", PASS, "logins, users, memory and min-replicas fit, as far as we see them")


def load(grounds: Grounds) -> Check:
    """What makes the pause longer, or a full copy needed afterwards."""
    found = [*_forks(grounds), *_copies(grounds), *_backlog(grounds)]
    if found:
        return grounds.check("load", WARN, listing(found, _MOST))
    return grounds.check(
        "load", PASS, "no fork, no full copy under way, and the backlog holds a node timeout of writes"
    )


def _forks(grounds: Grounds) -> Iterator[str]:
    for node in (grounds.primary, grounds.target):
        storage = node.vitals.storage if node.vitals else None
        if storage is not None and (storage.bgsave_in_progress or storage.aof_rewrite_in_progress):
            yield f"{called(node)} saves its data in a fork"


def _copies(grounds: Grounds) -> Iterator[str]:
    vitals = grounds.primary.vitals
    taking = [each for each in vitals.replication.attached if each.state != "online"] if vitals else []
    if taking:
        yield f"{counted(len(taking), 'replica')} of {called(grounds.primary)} take a full copy"


def _backlog(grounds: Grounds) -> Iterator[str]:
    now, before = grounds.primary, grounds.seen.before
    then = before.node(now.node_id) if before else None
    if now.view is None or then is None or then.view is None:
        return
    stream, earlier = now.view.vitals.replication, then.view.vitals.replication
    span_ms = now.view.asked_at_unix_ms - then.view.asked_at_unix_ms
    if stream.backlog_size is None or stream.primary_offset is None or earlier.primary_offset is None or span_ms <= 0:
        return
    wanted = max(0, stream.primary_offset - earlier.primary_offset) / span_ms * grounds.node_timeout_ms
    if wanted > stream.backlog_size:
        timeout = duration(grounds.node_timeout_ms)
        yield f"the backlog of {size(stream.backlog_size)} holds less than {timeout} of writes ({size(round(wanted))})"

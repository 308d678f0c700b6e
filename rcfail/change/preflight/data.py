"""What the target has of its primary's data, whether a sibling has more, and how far it is behind."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, UNKNOWN, WARN, Grounds
from rcfail.change.request import Override
from rcfail.cluster.candidacy import never_linked
from rcfail.cluster.dialect import manual_failover_timeout_ms
from rcfail.cluster.lag import lag_of
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.succession import NEAR_BYTES
from rcfail.cluster.vitals import Replication, Server, Vitals
from rcfail.health.wording import called, counted, duration, size

_NO_STREAM = (0, 1)
"""slave_repl_offset of a node that never had a link: 1, and 0 since Redis 8.2 and Valkey 9."""


def data(grounds: Grounds) -> Check:
    """Graceful needs the link and one stream; the others need data, however old, and never promote an empty node."""
    vitals = grounds.target.vitals
    if vitals is None or vitals.replication.link_up is None:
        allowed = None if grounds.graceful else Override.DATA_LOSS
        return grounds.check("data", UNKNOWN, f"{called(grounds.target)} does not say what data it has", allowed)
    if vitals.storage.loading or vitals.storage.async_loading:
        return grounds.check("data", FAIL, "it is loading its data set, and a server refuses the command then")
    return _graceful(grounds, vitals) if grounds.graceful else _forced(grounds, vitals)


def _graceful(grounds: Grounds, vitals: Vitals) -> Check:
    said = vitals.replication
    hint = f"Wait until it is in sync: rcfail wait synced={grounds.target.short}"
    if not said.link_up:
        text = "its link to the primary is down, so it would never have all writes, and they would pause for nothing"
        return grounds.check("data", FAIL, text, hint=hint)
    if said.sync_in_progress:
        return grounds.check("data", FAIL, "it is taking a full copy", hint=hint)
    primary = grounds.primary.vitals
    if primary is None or not primary.replication.replid or not said.replid:
        return grounds.check("data", UNKNOWN, "whether it follows the primary's stream cannot be told")
    if said.replid != primary.replication.replid:
        return grounds.check("data", FAIL, "it follows another stream than the primary's", hint=hint)
    return grounds.check("data", PASS, "its link is up, and it follows the primary's stream")


def _forced(grounds: Grounds, vitals: Vitals) -> Check:
    said, keys = vitals.replication, vitals.storage.keys
    if said.link_up:
        return grounds.check(
            "data", PASS, "its link is up" if grounds.primary.view else "its link was up when it was asked"
        )
    holds = f"offset {said.own_offset}, {counted(keys, 'key') if keys is not None else 'keys unknown'}"
    # A replica whose primary holds data of its own must never replace it empty: the primary would follow it, and
    # throw its data away. With the primary gone for good that harms nothing more.
    allowed = None if grounds.primary.alive is not Known.NO else Override.DATA_LOSS
    if said.sync_in_progress or (keys in (0, None) and said.own_offset in _NO_STREAM):
        text = f"it never finished a first copy ({holds}): promoted, it would be empty"
        better = _fullest(grounds)
        hint = f"Take the one that has data: {grounds.failover(*_mode(grounds), target=better)}" if better else ""
        return grounds.check("data", FAIL, text, allowed, hint)
    if never_linked(said):
        return grounds.check(
            "data", WARN, f"it was not in sync since it started: the age of its data is unknown ({holds})"
        )
    age_s = said.link_down_since_s
    aged = f"its link has been down for {duration(age_s * 1000)}" if age_s is not None else "its link is down"
    return grounds.check("data", WARN, f"{aged}, so it has nothing newer than that ({holds})")


def _mode(grounds: Grounds) -> tuple[str, ...]:
    return (f"--{grounds.mode}", "--dry-run")


def _siblings(grounds: Grounds) -> list[Node]:
    shard = grounds.shard
    nodes = grounds.snapshot.replicas_of(shard) if shard else iter(())
    return [each for each in nodes if each.node_id != grounds.request.target and each.vitals is not None]


def _fullest(grounds: Grounds) -> Node | None:
    with_data = [each for each in _siblings(grounds) if _offset(each) not in (None, *_NO_STREAM)]
    return max(with_data, key=lambda each: _offset(each) or 0, default=None)


def _offset(node: Node) -> int | None:
    return node.vitals.replication.own_offset if node.vitals else None


def sibling(grounds: Grounds) -> Check | None:
    """Of the replicas that we reach the one with most of the stream is to be promoted, where no primary waits."""
    if grounds.graceful:
        return None
    code, target = "sibling", grounds.target
    mine, said = _offset(target), target.vitals.replication if target.vitals else Replication()
    if mine is None or not said.replid:
        return grounds.check(code, UNKNOWN, "how much of the stream it has cannot be told", Override.DATA_LOSS)
    comparable = [each for each in _siblings(grounds) if each.vitals and each.vitals.replication.replid == said.replid]
    ahead = max(comparable, key=lambda each: _offset(each) or 0, default=None)
    lead = (_offset(ahead) or 0) - mine if ahead else 0
    if ahead is None or lead <= 0:
        return grounds.check(code, PASS, "no replica that we reach has more of the stream")
    moving = grounds.primary.view is not None and said.link_up and _linked(ahead)
    if moving and lead <= NEAR_BYTES:
        text = f"{called(ahead)} seems {size(lead)} ahead: they are asked one after the other while the stream goes on"
        return grounds.check(code, PASS, text)
    hint = f"Take that one: {grounds.failover(*_mode(grounds), target=ahead)}"
    return grounds.check(code, FAIL, f"{called(ahead)} has {size(lead)} more of the stream", Override.DATA_LOSS, hint)


def _linked(node: Node) -> bool:
    return node.vitals is not None and node.vitals.replication.link_up is True


def lag(grounds: Grounds) -> Check:
    """Graceful: it has to catch up within half of the time that the servers go on with it."""
    code = "lag"
    behind = lag_of(grounds.snapshot, grounds.target).behind_bytes
    if not grounds.graceful:
        text = (
            f"it was {size(behind)} behind when we looked"
            if behind is not None
            else "how far it is behind is not known"
        )
        return grounds.check(code, PASS if behind is not None else WARN, text)
    if behind is None:
        return grounds.check(code, UNKNOWN, "how far it is behind its primary cannot be told", Override.MAX_LAG)
    most = grounds.request.max_lag_bytes
    if most is not None:
        verdict = PASS if behind <= most else FAIL
        return Check(code, verdict, f"it is {size(behind)} behind; --max-lag-bytes allows {size(most)}")
    return _drains(grounds, behind)


def _drains(grounds: Grounds, behind: int) -> Check:
    vitals = grounds.target.vitals
    half_ms = manual_failover_timeout_ms(vitals.server if vitals else Server(), vitals.config if vitals else None) / 2
    if behind <= NEAR_BYTES:
        return grounds.check("lag", PASS, f"it is {size(behind)} behind")
    pace = _pace(grounds)
    if pace is None:
        return grounds.check(
            "lag", UNKNOWN, f"it is {size(behind)} behind, and how fast it copies is not known", Override.MAX_LAG
        )
    needs_ms = behind / pace * 1000 if pace > 0 else None
    speed = f"it copies {size(round(pace))} a second"
    hint = (
        f"See whether it catches up: rcfail health; or bear it: {grounds.failover('--max-lag-bytes', str(2 * behind))}"
    )
    if needs_ms is None or needs_ms > half_ms:
        took = f"would need {duration(needs_ms)}" if needs_ms is not None else "would never catch up"
        text = f"it is {size(behind)} behind, {speed}, and {took}; {duration(half_ms)} are allowed"
        return grounds.check("lag", FAIL, text, Override.MAX_LAG, hint)
    return grounds.check("lag", PASS, f"it is {size(behind)} behind, {speed}, and needs {duration(needs_ms)}")


def _pace(grounds: Grounds) -> float | None:
    """Bytes a second that the target has copied between the two looks."""
    now = _sample(grounds.snapshot, grounds.target.node_id)
    then = _sample(grounds.seen.before, grounds.target.node_id) if grounds.seen.before else None
    if now is None or then is None or now[0] <= then[0]:
        return None
    return max(0.0, (now[1] - then[1]) * 1000 / (now[0] - then[0]))


def _sample(snapshot: Snapshot, node_id: object) -> tuple[int, int] | None:
    view = next((each for each in snapshot.views if each.observer == node_id), None)
    offset = view.vitals.replication.own_offset if view else None
    return (view.asked_at_unix_ms, offset) if view and offset is not None else None

"""What the target holds: the primary's data, as much of it as anybody else, and all of it soon."""

from __future__ import annotations

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.loss import at_risk, risk_text
from rcfail.change.pause import drain_ms
from rcfail.change.preflight.case import Case, node_timeout_ms, passed, server_of, warned
from rcfail.change.request import Override
from rcfail.cluster.candidacy import holds_nothing, never_linked
from rcfail.cluster.dialect import manual_failover_timeout_ms
from rcfail.cluster.failover_stage import unanswered_ms
from rcfail.cluster.lag import lag_of
from rcfail.cluster.snapshot import Known, Node
from rcfail.cluster.succession import NEAR_BYTES
from rcfail.cluster.sync import awaits_copy
from rcfail.cluster.vitals import Replication, Vitals
from rcfail.health.wording import called, counted, duration, redis_cli, size

_DATA, _SIBLING, _LAG = "data", "sibling", "lag"
_NO_STREAM = (0, 1)
"""slave_repl_offset of a replica that has no stream yet: 1, and 0 since Redis 8.2 and Valkey 9."""


def data(case: Case) -> Check:
    """The target's copy: in step with the primary for a graceful failover, worth promoting for the others."""
    vitals = case.target.vitals
    said = vitals.replication if vitals else Replication()
    if vitals is None or said.link_up is None:
        override = None if case.graceful else Override.DATA_LOSS
        text = f"{called(case.target)} does not tell of its data (INFO replication)"
        return case.check(_DATA, CheckVerdict.UNKNOWN, text, override)
    if vitals.storage.async_loading:
        text = f"{called(case.target)} is loading a new copy, and takes no commands until that is over"
        return case.check(_DATA, CheckVerdict.FAIL, text)
    return _in_step(case, said) if case.graceful else _worth_it(case, vitals)


def _in_step(case: Case, said: Replication) -> Check:
    """Without a link the offsets never meet: the primary would hold writes back for nothing."""
    if not said.link_up:
        down = said.link_down_since_s
        since = "never since its start" if down in (None, -1) else f"for {down} s now"
        copy = said.sync_in_progress or awaits_copy(case.snapshot, case.target)
        why = "it is taking a full copy" if copy else f"its link is down, {since}"
        hint = f"See why: {redis_cli(case.target.endpoint, 'INFO', 'replication')}"
        if copy:
            hint = f"Wait for the end of it: {case.rcfail('wait', f'synced={_place(case.target)}')}"
        return case.check(_DATA, CheckVerdict.FAIL, f"{called(case.target)} is not in sync: {why}", hint=hint)
    stream = case.primary.vitals.replication if case.primary.vitals else None
    if stream is None or not stream.replid or not said.replid:
        text = f"its link is up, and {called(case.primary)} does not tell which stream it should follow"
        return case.check(_DATA, CheckVerdict.UNKNOWN, text)
    if stream.replid != said.replid:
        text = f"it follows the stream {said.replid[:8]}, and its primary writes {stream.replid[:8]}"
        return case.check(_DATA, CheckVerdict.FAIL, text)
    return passed(_DATA, f"its link is up, and it follows its primary's stream {said.replid[:8]}")


def _worth_it(case: Case, vitals: Vitals) -> Check:
    said, keys = vitals.replication, vitals.storage.keys
    copy = bool(said.sync_in_progress) or awaits_copy(case.snapshot, case.target)
    if said.link_up:
        return passed(_DATA, f"its link is up; {_held(said, keys)}")
    if keys is None:
        text = f"its link is down, and how many keys it holds cannot be told; {_held(said, keys)}"
        return case.check(_DATA, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    ruin = "promoted, it would be empty, and its primary would throw its data away to follow it"
    # Whoever forces a living primary out has consented to lose some writes by the same flag, not to lose all of them.
    all_is_lost = Override.DATA_LOSS if case.primary_dead else None
    if keys == 0 and said.own_offset in (None, *_NO_STREAM) and (copy or not _was_linked(case, said)):
        what = "its first copy is under way" if copy else "it never finished a first copy"
        return case.check(_DATA, CheckVerdict.FAIL, f"{what}, and it holds no key: {ruin}", all_is_lost)
    if holds_nothing(vitals):
        return case.check(_DATA, CheckVerdict.FAIL, f"it never synced, and holds no key: {ruin}", all_is_lost)
    stranger = _of_another_stream(case, said)
    if stranger is not None:
        text = f"what it holds is of another shard, that of {called(stranger)}: it has not yet copied its own primary"
        return case.check(_DATA, CheckVerdict.FAIL, f"{text}; {_held(said, keys)}", all_is_lost)
    if copy:
        text = f"a full copy is on its way that replaces what it holds; {_held(said, keys)}"
        return case.check(_DATA, CheckVerdict.FAIL, text, Override.DATA_LOSS)
    if never_linked(said):
        text = f"it has data of its own and was not in sync since it was started {_uptime(vitals)}; {_held(said, keys)}"
        return warned(_DATA, text)
    return _by_age(case, said, keys)


def _of_another_stream(case: Case, said: Replication) -> Node | None:
    """The other primary whose stream it has: it was sent here (CLUSTER REPLICATE), and its first copy has not begun."""
    own = case.primary.vitals.replication if case.primary.vitals else Replication()
    if not said.replid or said.replid in (own.replid, own.replid2):
        return None
    others = (case.snapshot.nodes[each] for each in case.snapshot.electorate.voters if each != case.primary.node_id)
    return next((each for each in others if each.vitals and each.vitals.replication.replid == said.replid), None)


def _was_linked(case: Case, said: Replication) -> bool:
    """A link that was up and is down since its primary died: an empty shard that nobody wrote to looks so too."""
    return case.primary_dead and said.link_down_since_s is not None and said.link_down_since_s >= 0


def _by_age(case: Case, said: Replication, keys: int) -> Check:
    """A link that broke with the primary is as it should be; one that was down for longer hides writes."""
    age_s, held = said.link_down_since_s, _held(said, keys)
    if age_s is None:
        return case.check(_DATA, CheckVerdict.UNKNOWN, f"its link is down, nobody knows since when; {held}")
    view = case.target.view
    silent_ms = unanswered_ms(view, case.primary.node_id) if view and case.primary_dead else None
    text = f"its link is down for {age_s} s; {held}"
    if silent_ms is None or age_s * 1000 > silent_ms + node_timeout_ms(case.target):
        lived = "" if case.primary_dead else ", while its primary lives"
        return warned(_DATA, f"{text}: what was written since then{lived} is not in it")
    return passed(_DATA, f"{text}: it broke when the primary fell silent")


def _held(said: Replication, keys: int | None) -> str:
    count = "keys unknown" if keys is None else counted(keys, "key")
    return f"{count}, offset {'unknown' if said.own_offset is None else said.own_offset}"


def _uptime(vitals: Vitals) -> str:
    up = vitals.server.uptime_s
    return "" if up is None else f"{duration(up * 1000)} ago"


def sibling(case: Case) -> Check:
    """Whether another replica has more of the same stream: that one should be promoted instead."""
    mine = case.target.vitals.replication if case.target.vitals else None
    others = [each for each in case.siblings() if each.alive is not Known.NO and not case.stopped(each)]
    if not others:
        return passed(_SIBLING, "there is no other replica of this shard that lives")
    if mine is None or mine.own_offset is None:
        text = "it does not tell its offset, so it cannot be compared with the other replicas"
        return case.check(_SIBLING, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    ahead = [(lead, each) for each in others if (lead := _lead(case, each, mine))]
    if ahead:
        lead, best = max(ahead, key=lambda each: each[0])
        text = f"{called(best)} has {counted(lead, 'byte')} more of the same stream than the target"
        hint = f"Promote that one: {case.command().replace(_place(case.target), _place(best))}"
        return case.check(_SIBLING, CheckVerdict.FAIL, text, Override.DATA_LOSS, hint)
    silent = [each for each in others if _stream(each) is None]
    if silent:
        text = f"{called(silent[0])} does not tell how much it has, and may have more than the target"
        return case.check(_SIBLING, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    return passed(_SIBLING, f"no other replica has more of the stream than the target (offset {mine.own_offset})")


def _place(node: Node) -> str:
    return str(node.endpoint or node.node_id)


def _stream(node: Node) -> tuple[str, int] | None:
    said = node.vitals.replication if node.vitals else None
    return (said.replid, said.own_offset) if said and said.replid and said.own_offset is not None else None


def _lead(case: Case, other: Node, mine: Replication) -> int:
    """Bytes that the sibling has for certain and the target has not. Both are asked one after the other: while the
    stream flows, only what the sibling had in the look before counts.
    """
    now = _stream(other)
    if now is None or now[0] != mine.replid or mine.own_offset is None:
        return 0
    flows = mine.link_up or (other.vitals is not None and bool(other.vitals.replication.link_up))
    if flows and case.seen.before is not None:
        earlier = case.seen.before.node(other.node_id)
        now = (_stream(earlier) if earlier else None) or now
        if now[0] != mine.replid:
            return 0
    return max(0, now[1] - mine.own_offset)


def lag(case: Case) -> Check:
    """Gracefully the target has to catch up while writes wait; else what it lacks is what is lost."""
    if not case.graceful:
        return _shown(case)
    limit, behind = case.request.max_lag_bytes, lag_of(case.snapshot, case.target).behind_bytes
    if behind is None:
        text = "how far it is behind cannot be told: the two do not tell offsets of one stream"
        return case.check(_LAG, CheckVerdict.UNKNOWN, text, Override.MAX_LAG)
    if limit is not None and behind > limit:
        text = f"it is {size(behind)} behind ({behind} bytes), and --max-lag-bytes allows {limit}"
        return case.check(_LAG, CheckVerdict.FAIL, text, Override.MAX_LAG)
    half_ms = min(_manual_ms(case.target), _manual_ms(case.primary)) // 2
    takes_ms = drain_ms(case.seen, case.target)
    allowed = limit is not None
    if takes_ms is None:
        verdict = CheckVerdict.FAIL if case.seen.before is not None else CheckVerdict.UNKNOWN
        pace = "does not catch up" if verdict is CheckVerdict.FAIL else "nobody knows how fast it catches up"
        text = f"it is {size(behind)} behind, and {pace}"
        return case.check(_LAG, verdict, text, Override.MAX_LAG, _more_lag(case, behind), given=allowed)
    if takes_ms > half_ms:
        text = f"it is {size(behind)} behind, and needs {duration(takes_ms)} for them at its present speed: "
        text += f"more than {duration(half_ms)}, half of the time that an attempt has"
        return case.check(_LAG, CheckVerdict.FAIL, text, Override.MAX_LAG, _more_lag(case, behind), given=allowed)
    near = f"; it needs {duration(takes_ms)} for them" if behind > NEAR_BYTES else ""
    return passed(_LAG, f"it is {counted(behind, 'byte')} behind{near}")


def _more_lag(case: Case, behind: int) -> str:
    way = case.command(None, "--max-lag-bytes", str(2 * behind))
    return f"Try again when fewer writes come in, or take the wait: {way}"


def _manual_ms(node: Node) -> int:
    return manual_failover_timeout_ms(server_of(node), node.vitals.config if node.vitals else None)


def _shown(case: Case) -> Check:
    risk = at_risk(case.seen, case.request)
    text = f"can be lost: {risk_text(case.seen, case.request, risk)}"
    return passed(_LAG, text) if risk is not None and risk[1] == 0 else warned(_LAG, text)

"""The primary that is to give way: whether it lives, serves, and answers at once."""

from __future__ import annotations

from enum import StrEnum

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, node_timeout_ms, passed, places, silence_of, warned
from rcfail.change.request import Mode, Override
from rcfail.cluster.electorate import side_of
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known
from rcfail.health.wording import answering, called, counted, duration, rcfail, tally

_ALIVE, _RESPONSIVE = "primary-alive", "primary-responsive"
_SHARE = 10
"""A PING has to be answered within this part of the node timeout."""

_LEAST_MS = 250
"""With a node timeout of a second its tenth is what a busy host takes now and then. An attempt has seconds."""


class Standing(StrEnum):
    """How the primary stands."""

    SERVES = "serves"
    STOPPED = "stopped"  # it answers, and serves nobody
    HIDDEN = "hidden"  # silent to us, alive for others
    DEAD = "dead"
    UNSEEN = "unseen"  # silent to us, and nobody else can tell
    UNTOLD = "untold"  # it answers, and does not say whether it serves


def standing(case: Case) -> Standing:
    """Serving is: alive, not loading, and cluster_state ok in its own view."""
    primary = case.primary
    if case.primary_dead:
        return Standing.DEAD
    if primary.view is None:
        return Standing.HIDDEN if primary.alive is Known.YES else Standing.UNSEEN
    if primary.view.vitals.storage.loading:
        return Standing.STOPPED
    state = primary.view.vitals.cluster.state
    if not state:
        return Standing.UNTOLD
    return Standing.SERVES if state == "ok" else Standing.STOPPED


def primary_alive(case: Case) -> Check:
    """Graceful needs it alive and heard by the target's side; without its help it must not be serving."""
    return _for_graceful(case) if case.graceful else _without_its_help(case)


def _for_graceful(case: Case) -> Check:
    stands, name = standing(case), called(case.primary)
    if stands is Standing.DEAD:
        text = f"{name} is down ({silence_of(case.primary)}; {tally(case.snapshot, case.primary)})"
        hint = f"Let the voters elect without it: {case.command(Mode.FORCE)}"
        return case.check(_ALIVE, CheckVerdict.FAIL, f"{text}: it can hand nothing over", hint=hint)
    if stands is Standing.UNSEEN:
        text = f"{name} does not answer us ({silence_of(case.primary)}), and nobody else can tell whether it lives"
        return case.check(_ALIVE, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    if case.primary.view is not None and case.primary.view.vitals.storage.loading:
        return case.check(_ALIVE, CheckVerdict.FAIL, f"{name} is loading its data set, and can hand nothing over")
    flagging = {*case.primary.suspected_by, *case.primary.failed_by}
    wanted = (case.primary.node_id, *sorted(flagging))
    side = side_of(case.target.node_id, wanted, case.snapshot.by_observer)
    if case.primary.node_id not in side:
        text = f"{name} and the target do not hear each other: one of them suspects the other"
        return case.check(_ALIVE, CheckVerdict.FAIL, text, Override.DATA_LOSS)
    flags = flagging & set(side)
    if flags:
        text = f"{name} is suspected by {counted(len(flags), 'node')} on the target's side: "
        text += f"{places(case.snapshot, tuple(sorted(flags)))}; once it is held for failed, writes can be lost"
        return case.check(_ALIVE, CheckVerdict.FAIL, text, Override.DATA_LOSS)
    return passed(_ALIVE, f"{name} is alive, and {tally(case.snapshot, case.primary)}")


def _without_its_help(case: Case) -> Check:
    stands, name = standing(case), called(case.primary)
    if stands is Standing.SERVES:
        text = f"{name} lives and serves: what it acknowledges and the target has not copied would be lost"
        hint = f"Hand over without loss: {case.command(Mode.GRACEFUL)}"
        return case.check(_ALIVE, CheckVerdict.FAIL, text, Override.DATA_LOSS, hint)
    if stands is Standing.HIDDEN:
        text = f"{name} is silent to us ({silence_of(case.primary)}), but alive for the others: {_vouched(case)}. "
        text += "So it may be taking writes, and the fault is our network"
        reason, hint = case.primary.silence.reason if case.primary.silence else None, ""
        if reason is SilenceReason.FROZEN:
            text = f"{name} does not answer us (frozen), and is not held for failed yet: {_vouched(case)}"
        if reason is SilenceReason.REFUSED:
            text = f"{name} refuses our connections, and is not held for failed yet: {_vouched(case)}. It has died "
            text += "just now, or refuses us alone"
            hint = "Within about two node timeouts the others notice a dead one and elect by themselves: "
            hint += rcfail("health", answering(case.snapshot), "--wait", "60s")
        return case.check(_ALIVE, CheckVerdict.FAIL, text, Override.DATA_LOSS, hint)
    if stands is Standing.UNSEEN:
        text = f"{name} is silent to us ({silence_of(case.primary)}), and nobody else can tell whether it lives"
        return case.check(_ALIVE, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    if stands is Standing.UNTOLD:
        text = f"{name} answers, and does not say whether it serves (CLUSTER INFO)"
        return case.check(_ALIVE, CheckVerdict.UNKNOWN, text, Override.DATA_LOSS)
    if stands is Standing.STOPPED:
        loading = case.primary.view is not None and case.primary.view.vitals.storage.loading
        why = "it is loading its data set" if loading else "its cluster_state is fail"
        return warned(_ALIVE, f"{name} lives and does not serve ({why}); it may serve again at any moment")
    return passed(_ALIVE, f"{name} is down ({silence_of(case.primary)}; {tally(case.snapshot, case.primary)})")


def _vouched(case: Case) -> str:
    """Who says that it lives."""
    linked = [
        node
        for node in (case.target, *case.siblings())
        if node.primary_id == case.primary.node_id and node.vitals and node.vitals.replication.link_up
    ]
    if linked:
        heard = linked[0].vitals.replication.last_io_s if linked[0].vitals else None
        return f"{called(linked[0])} heard it {heard} s ago over its link"
    return tally(case.snapshot, case.primary)


def primary_responsive(case: Case) -> Check:
    """Three PINGs on one connection. A primary that is frozen when it is asked stops its writes when it thaws."""
    name, limit_ms = called(case.primary), max(_LEAST_MS, node_timeout_ms(case.primary) // _SHARE)
    pings = case.seen.pings_ms
    if not pings:
        text = f"{name} was not sent a PING, for it is silent to us ({silence_of(case.primary)})"
        return case.check(_RESPONSIVE, CheckVerdict.UNKNOWN, text, Override.WRITE_PAUSE)
    answered = [each for each in pings if each is not None]
    if len(answered) < len(pings):
        text = f"{name} left {len(pings) - len(answered)} of {len(pings)} PINGs without an answer"
        return case.check(_RESPONSIVE, CheckVerdict.FAIL, text, Override.WRITE_PAUSE)
    worst = max(answered)
    told = f"the slowest of {len(pings)} PINGs took {_ms(worst)}"
    if worst >= limit_ms:
        text = f"{name} is slow: {told}, and the limit is {duration(limit_ms)}; "
        text += "it could hold writes back for seconds, and nobody be promoted"
        return case.check(_RESPONSIVE, CheckVerdict.FAIL, text, Override.WRITE_PAUSE)
    return passed(_RESPONSIVE, f"{told}")


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else duration(milliseconds)

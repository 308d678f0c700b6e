"""A recovery from the wish to the answer: look, name, plan, check, ask, and then one action after the other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rcfail.change.audit import state_folder
from rcfail.change.checks import Check, refusing
from rcfail.change.locks.premises import premises
from rcfail.change.many.series import bad_before
from rcfail.change.recover.action import Action, Send
from rcfail.change.recover.preflight import preflight
from rcfail.change.recover.recovery import Recovery
from rcfail.change.told import Turn
from rcfail.clock import Deadline, poll
from rcfail.cluster.observation import Observation
from rcfail.cluster.snapshot import Snapshot
from rcfail.cluster.succession import node_timeouts_ms
from rcfail.errors import ConfigFault, OutOfTime, Refused
from rcfail.runs.moving import Orders, Site, at_work
from rcfail.runs.permitted import permitted

if TYPE_CHECKING:
    pass
from rcfail.runs.course import Course
from rcfail.runs.examining import Examined, Ways, Wish, examine, passing, unexplained

_EVERY_S = 0.5
_PASSES_S = 10.0
_TIMEOUTS = 4
"""An owner of slots stays failed for two node timeouts after the verdict, also where it is heard again
(clearNodeFailureIfNeeded, cluster_legacy.c)."""


def recover(site: Site, wish: Wish, ways: Ways) -> Recovery:
    """Raises CannotSee, NotMeant, Declined, LockHeld, Refused; all of them before anything was sent."""
    seen = _once_it_passed(site, wish, ways, examine(site, wish))
    found = _planned(site, wish, seen)
    if found.turn is not Turn.ALLOWED:
        return found
    if wish.dry_run:
        there = premises(
            site.door,
            seen.case.snapshot,
            state_folder() / "locks",
            site.audit_path,
            site.clock,
            break_lock=wish.break_lock,
        )
        checks = (*found.checks, *there)
        return replace(found, checks=checks, turn=Turn.REFUSED if refusing(checks) else Turn.ALLOWED)
    _insist_on_size(found, wish)
    waited = ways.consent(found)
    with at_work(
        site,
        seen.case.snapshot,
        _orders(found, wish),
        witness=lambda moment: ways.witness(seen.case.snapshot, moment),
        tell=ways.tell,
        shield=ways.shield,
    ) as hands:
        record = _recorded(seen.observation, site, wish.command)
        ways.tell(f"what was seen before the first change is kept in {record}")
        if alone := hands.means.held.local_alone:
            ways.tell(f"others on other hosts are not held off: the lock is on this host alone ({alone})")
        done = Course(site, wish, ways, hands, replace(found, record=str(record))).go(None if waited else seen)
        ways.over()
        hands.exit_code = done.exit_code
        notes = (hands.audit.trouble,) if hands.audit.trouble else ()
        return replace(done, notes=(*done.notes, *notes))


def _once_it_passed(site: Site, wish: Wish, ways: Ways, seen: Examined) -> Examined:
    """Right after a change, also one of a run that was killed, nodes go on for seconds as they were before. Who wants
    to know only is told at once."""
    what = passing(seen)
    if wish.dry_run or not what:
        return seen
    flags_s = _TIMEOUTS * node_timeouts_ms(seen.case.snapshot)[1] / 1000 if seen.conditions else 0.0
    longest_s = _PASSES_S + flags_s
    ways.tell(
        f"nothing to do, and not well yet: {what}; that passes by itself, and is waited for up to {longest_s:g} s"
    )
    last = [seen]

    def look() -> bool:
        last[0] = examine(site, wish)
        return not passing(last[0])

    with suppress(OutOfTime):
        poll(look, bool, deadline=Deadline.after(longest_s, site.clock), every_s=_EVERY_S, waiting_for=what)
    return last[0]


def _planned(site: Site, wish: Wish, seen: Examined) -> Recovery:
    """What is wrong, what would be done, and whether it may."""
    snapshot, found = seen.case.snapshot, seen.conditions
    planned = Recovery(
        Turn.NOTHING,
        snapshot,
        found,
        unwell=unexplained(seen),
        notes=bad_before(seen.case.findings) if found else (),
        what=wish.command,
    )
    if not planned.actions:
        return replace(planned, turn=Turn.REFUSED if found else Turn.NOTHING)
    checks = _fitted(site, preflight(seen.case, found, agreed=seen.agreed))
    if not refusing(checks):
        sends = [each for action in planned.actions for each in _leaving(snapshot, action)]
        deadline = Deadline.after(site.settings.limits.deadline_s, site.clock)
        checks = (*checks, *_fitted(site, (permitted(site.door, sends, deadline, dry=wish.dry_run),)))
    return replace(planned, checks=checks, turn=Turn.REFUSED if refusing(checks) else Turn.ALLOWED)


def _leaving(snapshot: Snapshot, action: Action) -> tuple[Send, ...]:
    """What it sends, also as a failover."""
    if action.request is None:
        return action.sends
    target = snapshot.nodes[action.request.target]
    return (Send(target.node_id, target.endpoint, ("CLUSTER", "FAILOVER")),) if target.endpoint else ()


def _fitted(site: Site, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(replace(each, hint=site.sight.manner.fit(each.hint)) for each in checks)


def _insist_on_size(found: Recovery, wish: Wish) -> None:
    """Raises Refused where the operator named another number of keys than would be lost."""
    if wish.lose_keys is not None and wish.lose_keys != found.keys_lost:
        raise Refused(
            f"--lose-keys says {wish.lose_keys}, and {found.keys_lost} keys would be lost: nothing was sent",
            "Look again: add --dry-run.",
        )


def _orders(found: Recovery, wish: Wish) -> Orders:
    return Orders(
        command=wish.command,
        nodes=tuple(dict.fromkeys(node for each in found.conditions for node in each.nodes)),
        facts={
            "asked": dict(wish.asked),
            "conditions": [{"condition": each.code.value, "subject": each.subject} for each in found.conditions],
            "steps": [{"kind": each.kind.value, "about": each.about, "title": each.title} for each in found.actions],
            "given": sorted(wish.decisions.given),
        },
        reason=wish.reason,
        break_lock=wish.break_lock,
    )


def _recorded(observation: Observation, site: Site, command: str) -> Path:
    """Where it is kept. Raises Refused: what was so before is worth more than a fast change."""
    from rcfail.wire.record import save

    path = state_folder() / "records" / f"{command}-{site.clock.unix_ms()}.json.gz"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        save(observation, str(path))
    except (OSError, ConfigFault) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Refused(
            f"what was seen cannot be kept in {path}: {why}; nothing was sent",
            "Set XDG_STATE_HOME to a folder of yours.",
        ) from None
    return path

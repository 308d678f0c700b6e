"""Who is meant: the target is a replica of the primary that is named, and answers under its own id."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, UNKNOWN, Grounds
from rcfail.cluster.dialect import fails_over_without_slots, name_of
from rcfail.cluster.nouns import Role
from rcfail.health.wording import called, slots_text


def target_role(grounds: Grounds) -> Check:
    """The target says itself that it is a replica of the primary, the shard has slots, and it is the one expected."""
    code, target, primary = "target-role", grounds.target, grounds.primary
    own = target.view.own if target.view else None
    expected = grounds.request.expected_primary
    if expected is not None and expected != primary.node_id:
        text = f"the primary of the shard is {called(primary)}, and not {grounds.called(expected)} as expected"
        return grounds.check(code, FAIL, text)
    if own is None:
        why = f"{called(target)} does not answer us, so nothing can be sent to it"
        return grounds.check(code, UNKNOWN, why, hint="See what is wrong with it: rcfail health")
    if own.role is Role.PRIMARY:
        return grounds.check(code, FAIL, f"{called(target)} says that it is a primary itself")
    if own.primary_id != primary.node_id:
        whom = grounds.called(own.primary_id) if own.primary_id else "nobody that it knows"
        return grounds.check(code, FAIL, f"{called(target)} says that it is a replica of {whom}")
    if primary.role is not Role.PRIMARY:
        return grounds.check(code, FAIL, f"{called(primary)} is a replica itself: its replicas cannot take over")
    if not primary.slots and not fails_over_without_slots(grounds.server):
        text = f"{called(primary)} owns no slots, and {name_of(grounds.server)} begins no election for such a shard"
        return grounds.check(code, FAIL, text)
    owned = slots_text(primary.slots) if primary.slots else "no slots"
    return grounds.check(code, PASS, f"{called(target)} is a replica of {called(primary)}, which owns {owned}")


def target_identity(grounds: Grounds) -> Check:
    """Nobody else claims the target's id. It is read once more on the very connection that sends."""
    code, target = "target-identity", grounds.target
    others = [each for each in grounds.snapshot.doubles if each.observer == target.node_id]
    if others:
        places = ", ".join(str(each.endpoint) for each in others)
        return grounds.check(code, FAIL, f"another process at {places} claims the id of {called(target)}")
    if target.view is None or target.view.observer != target.node_id:
        return grounds.check(code, UNKNOWN, f"{called(target)} does not say its id")
    return grounds.check(code, PASS, "it says its id, and is asked again on the connection that sends")

"""Is the target what it is taken for: a replica of that primary, in a shard that can be handed over."""

from __future__ import annotations

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, passed, server_of, silence_of
from rcfail.cluster.dialect import name_of, promotes_without_slots
from rcfail.cluster.nouns import Role
from rcfail.cluster.snapshot import Known
from rcfail.health.wording import called, listing, slots_text

_ROLE, _IDENTITY = "target-role", "target-identity"


def target_role(case: Case) -> Check:
    """The target's own word counts. Nothing lets this pass: the servers would refuse it, or do something else."""
    no = _hindrance(case)
    if no:
        return no
    expected = case.request.expected_primary
    if expected is not None and expected != case.primary.node_id:
        wanted = case.snapshot.node(expected)
        text = f"{called(case.target)} is a replica of {called(case.primary)}, and you expect "
        return _fail(case, f"{text}{called(wanted) if wanted else expected[:8]} to be its primary")
    slots = _slots(case)
    if not slots and not promotes_without_slots(server_of(case.target)):
        text = f"{called(case.primary)} owns no slots: {name_of(server_of(case.target))} promotes no replica of it"
        return _fail(case, text)
    owned = slots_text(slots) if slots else "no slots"
    return passed(_ROLE, f"{called(case.target)} is a replica of {called(case.primary)}, which owns {owned}")


def speaks_as_replica(case: Case) -> bool:
    """The target says itself that it is a replica of this primary, so that all else can be asked of it."""
    return _hindrance(case) is None


def _hindrance(case: Case) -> Check | None:
    target, primary = case.target, case.primary
    if target.view is None:
        how = "is down" if target.alive is Known.NO else "does not answer us"
        return _fail(case, f"{called(target)} {how} ({silence_of(target)}): nothing can be asked of it")
    own = target.view.own
    if target.view.vitals.storage.loading:
        return _fail(case, f"{called(target)} is loading its data set, and takes no commands until that is over")
    if own is None:
        text = f"{called(target)} does not say what it is: its CLUSTER NODES could not be read"
        return case.check(_ROLE, CheckVerdict.UNKNOWN, text)
    if own.role is Role.PRIMARY:
        what = f"and owns {slots_text(own.slots)}" if own.slots else "and owns no slots"
        return _fail(case, f"{called(target)} is a primary already, {what}")
    if own.role is not Role.REPLICA or own.primary_id is None:
        return _fail(case, f"{called(target)} is a replica that does not know its primary")
    above = case.snapshot.node(own.primary_id)
    if above is not None and above.role is Role.REPLICA:
        return _fail(case, f"{called(target)} is a replica of {called(above)}, which is a replica itself")
    if own.primary_id != primary.node_id:
        whose = called(above) if above else own.primary_id[:8]
        return _fail(case, f"{called(target)} is a replica of {whose}, not of {called(primary)}")
    return None


def _slots(case: Case) -> tuple[tuple[int, int], ...]:
    """What the target would take: its primary's slots in its own view."""
    belief = case.target.view.belief(case.primary.node_id) if case.target.view else None
    return belief.slots if belief else ()


def _fail(case: Case, text: str) -> Check:
    return case.check(_ROLE, CheckVerdict.FAIL, text)


def target_identity(case: Case) -> Check:
    """One process answers with the target's id, where the others list it, and all that answers is one cluster."""
    snapshot, target = case.snapshot, case.target
    if snapshot.foreign:
        text = "the seeds lead to more than one cluster, so it is not certain which of them is meant"
        return case.check(_IDENTITY, CheckVerdict.FAIL, text, hint="Name seeds of one cluster only: -s HOST:PORT.")
    doubles = [str(each.endpoint) for each in snapshot.doubles if each.observer == target.node_id]
    if doubles and target.endpoint:
        text = f"two processes answer as {target.short}: at {target.endpoint} and at {listing(doubles)}"
        return case.check(_IDENTITY, CheckVerdict.FAIL, text, hint="Stop the wrong one of the two first.")
    view = target.view
    if view is None or view.reply is None or view.reply.myself != (target.node_id,):
        said = listing([each[:8] for each in view.reply.myself]) if view and view.reply else ""
        text = f"it says that it is {said}" if said else "it does not tell its id"
        return case.check(_IDENTITY, CheckVerdict.UNKNOWN, f"{called(target)}: {text}")
    if view.expected is not None and view.expected != target.node_id:
        text = f"{target.short} answers at {view.endpoint}, where the others list {view.expected[:8]}"
        return case.check(_IDENTITY, CheckVerdict.FAIL, text)
    return passed(_IDENTITY, f"{target.node_id} answers at {view.endpoint}; it is asked again right before the send")

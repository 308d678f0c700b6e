"""What is about to be done, written down: to be shown, saved, and held against the world before it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.request import Mode, Request
from rcfail.cluster.dialect import manual_failover_timeout_ms
from rcfail.cluster.nouns import NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Known, Node, Snapshot
from rcfail.cluster.vitals import Server

_WORDS = {Mode.GRACEFUL: (), Mode.FORCE: ("FORCE",), Mode.TAKEOVER: ("TAKEOVER",)}

REDUNDANT_MS = 60_000
"""How long the old primary may take to follow: a full copy of a large data set takes minutes, and is then told of."""

PROPAGATION_MS = 2_000
"""A promoted node tells all others at once (a PONG to everybody); gossip repeats it every second (clusterCron)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command to one node, and what must be so when it is sent.

    `slots` and `epoch` are the primary's when the plan was made; `all_ids` were all members. `attempt_ms` is how long
    the servers go on trying, and `verify_ms` how long its effect is waited for, both from the send. `redundant_ms` is
    how long after the promotion the shard may take to have its replicas back.
    """

    number: int
    target: NodeId
    primary: NodeId
    mode: Mode
    slots: tuple[SlotRange, ...]
    epoch: int
    attempt_ms: int
    verify_ms: int
    redundant_ms: int = REDUNDANT_MS

    @property
    def command(self) -> tuple[str, ...]:
        return ("CLUSTER", "FAILOVER", *_WORDS[self.mode])


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are carried out, one after the other."""

    made_at_unix_ms: int
    steps: tuple[Step, ...]


def plan_failover(snapshot: Snapshot, request: Request) -> Plan:
    """One step. The nodes of the request must be in the snapshot; whether it should be done is for `preflight`."""
    target, primary = snapshot.nodes[request.target], snapshot.nodes[request.primary]
    attempt_ms = attempt_of(target, primary, request.mode)
    step = Step(
        number=1,
        target=target.node_id,
        primary=primary.node_id,
        mode=request.mode,
        slots=primary.slots,
        epoch=primary.config_epoch,
        attempt_ms=attempt_ms,
        verify_ms=attempt_ms + PROPAGATION_MS,
    )
    return Plan(snapshot.taken_at_unix_ms, (step,))


def attempt_of(target: Node, primary: Node, mode: Mode) -> int:
    """For how long the servers may go on with it, in ms. A takeover is over when it is answered.

    Each side counts with its own setting, so the greater one is waited for (clusterCommand and clusterProcessPacket,
    cluster_legacy.c).
    """
    if mode is Mode.TAKEOVER:
        return 0
    return max(_timeout_ms(each) for each in (target, primary))


def _timeout_ms(node: Node) -> int:
    vitals = node.vitals
    return manual_failover_timeout_ms(vitals.server if vitals else Server(), vitals.config if vitals else None)


def guard(snapshot: Snapshot, step: Step) -> tuple[Check, ...]:
    """Whether the world is still the one that the step was planned for: looked at again right before the send."""
    return tuple(_guard(snapshot, step))


def _guard(snapshot: Snapshot, step: Step) -> Iterator[Check]:
    target, primary = snapshot.node(step.target), snapshot.node(step.primary)
    yield _is_replica(target, step)
    yield _owns(primary, step)
    if step.mode is not Mode.TAKEOVER:
        quorum = snapshot.electorate.quorum
        verdict = CheckVerdict.PASS if quorum is Known.YES else CheckVerdict.FAIL
        if quorum is Known.UNKNOWN:
            verdict = CheckVerdict.UNKNOWN
        side = f"{len(snapshot.electorate.side)} of {len(snapshot.electorate.voters)} voters stand together"
        yield Check("guard-quorum", verdict, f"{side}; {snapshot.electorate.needed} are needed")


def _is_replica(target: Node | None, step: Step) -> Check:
    own = target.view.own if target is not None and target.view is not None else None
    if own is None:
        return Check("guard-target", CheckVerdict.UNKNOWN, f"{step.target[:8]} does not say what it is")
    if own.role is Role.REPLICA and own.primary_id == step.primary:
        return Check("guard-target", CheckVerdict.PASS, f"{step.target[:8]} is a replica of {step.primary[:8]}")
    what = f"a replica of {(own.primary_id or 'nobody')[:8]}" if own.role is Role.REPLICA else f"a {own.role}"
    text = f"{step.target[:8]} was planned as a replica of {step.primary[:8]}, and is {what} now"
    return Check("guard-target", CheckVerdict.FAIL, text)


def _owns(primary: Node | None, step: Step) -> Check:
    slots = primary.slots if primary is not None else ()
    if slots == step.slots and primary is not None and primary.config_epoch == step.epoch:
        return Check("guard-owner", CheckVerdict.PASS, f"{step.primary[:8]} owns the same slots in epoch {step.epoch}")
    now = f"{sum(b - a + 1 for a, b in slots)} slots in epoch {primary.config_epoch if primary else '?'}"
    planned = f"{sum(b - a + 1 for a, b in step.slots)} slots in epoch {step.epoch}"
    return Check("guard-owner", CheckVerdict.FAIL, f"{step.primary[:8]} was planned to own {planned}, and owns {now}")

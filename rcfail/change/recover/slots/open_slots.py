"""Slots that are half moved: closed where they are, ended where all keys are, or left to who can move the keys.

No key is ever moved or deleted. A slot is closed only if its owner alone holds keys of it, and it goes to the other
side only if all its keys are there already. The owner is told first that it keeps a slot: from then on no client is
sent to the other side, so nothing new is there when that side is counted again and closed.
"""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, InSync, name_of
from rcfail.change.recover.slots import open_marks
from rcfail.change.recover.slots.open_marks import Opened, Way
from rcfail.change.recover.slots.slots import (
    HEARD_MS,
    Closed,
    Marked,
    Owns,
    Unclaimed,
    batches,
    closing,
    flushed_without,
    holds_text,
    ranges_of,
    setslot,
    short,
    written,
)
from rcfail.cluster.marks import marked
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.wording import listing, redis_cli, slots_text

questions = open_marks.questions


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    for each, slots in open_marks.opened(case).items():
        if each.way is Way.GONE or taken.isdisjoint((each.owner, *each.others)):
            yield _condition(case, each, slots)


def _condition(case: Case, each: Opened, slots: list[int]) -> Condition:
    advice = _advice(case, each, slots)
    return Condition(
        ConditionCode.SLOT_OPEN,
        (each.owner, *each.others),
        short(ranges_of(slots)),
        _evidence(case, each, slots),
        _story(case, each, slots),
        () if advice else tuple(_actions(case.snapshot, each, slots)),
        ("slots-open", "slots-open-orphan"),
        advice,
        choice=each.way in (Way.SPLIT, Way.GONE),
    )


def _actions(snapshot: Snapshot, each: Opened, slots: list[int]) -> Iterator[Action]:
    """Who marks a slot as importing does not hear of a new owner (clusterUpdateSlotsConfigWith, cluster_legacy.c), so
    where a move is ended, third nodes close it first.
    """
    nodes = (each.owner, *each.others)
    if each.way is Way.FINISH:
        nodes = tuple(node for node in each.others if node != each.near)
    for node in nodes:
        view = snapshot.by_observer.get(node)
        here = set(slots) & marked(view.own) if view is not None and view.own else set[int]()
        if each.way is Way.REPLICA:
            here = set(slots) if node == each.owner else set()
        for batch in batches(here):
            yield _closing(snapshot, each, node, batch)
    if each.way is Way.FINISH:
        for batch in batches(slots):
            yield from _opening(snapshot, each, batch)
        for batch in batches(slots):
            yield _ending(snapshot, each, batch)


def _closing(snapshot: Snapshot, each: Opened, node: NodeId, slots: tuple[int, ...]) -> Action:
    """Where only a replica has a mark, whoever owns the slot: its primary has none, so it loses none."""
    guard = InSync(each.near) if each.way is Way.REPLICA else Unclaimed(ranges_of(slots), each.owner)
    return closing(node, name_of(snapshot, node), snapshot.by_observer[node].endpoint, slots, guard)


def _opening(snapshot: Snapshot, each: Opened, slots: tuple[int, ...]) -> Iterator[Action]:
    """The marks that a move needs to be ended. With them no new key comes to the owner, and the other side raises its
    epoch when it takes the slot: without that nobody believes it (clusterCommandSetSlot, cluster_legacy.c).
    """
    owner, taker = snapshot.by_observer[each.owner], snapshot.by_observer[each.near]
    giving = {slot for slot, other in owner.own.migrating if other == each.near} if owner.own else set[int]()
    taking = {slot for slot, _ in taker.own.importing} if taker.own else set[int]()
    sends: list[Send] = []
    for slot in slots:
        if slot not in taking:
            sends.append(setslot(each.near, taker.endpoint, slot, "IMPORTING", each.owner))
        if slot not in giving:
            sends.append(setslot(each.owner, owner.endpoint, slot, "MIGRATING", each.near))
    if sends:
        ranges = ranges_of(slots)
        yield Action(
            ActionKind.SETSLOT,
            each.near,
            f"mark {short(ranges)} as moved on both sides",
            expects=_both_marked(each, slots),
            sends=tuple(sends),
            aims=("open", written(ranges)),
            guards=(
                Answers(each.near, taker.endpoint),
                Answers(each.owner, owner.endpoint),
                Unclaimed(ranges, each.owner),
            ),
            within_ms=HEARD_MS,
        )


def _both_marked(each: Opened, slots: tuple[int, ...]) -> tuple[Marked, Marked]:
    return Marked(each.near, False, slots), Marked(each.owner, True, slots, each.near)


def _ending(snapshot: Snapshot, each: Opened, slots: tuple[int, ...]) -> Action:
    """The new owner is told first: it has to raise its epoch before the old one lets go, or the slot is nobody's in
    between. The old one refuses while it still holds a key of the slot.
    """
    taker, owner, ranges = snapshot.by_observer[each.near], snapshot.by_observer[each.owner], ranges_of(slots)
    return Action(
        ActionKind.SETSLOT,
        each.near,
        f"let {name_of(snapshot, each.near)} own {short(ranges)}",
        expects=(Owns(each.near, ranges), Closed(each.near, slots), Closed(each.owner, slots)),
        sends=(
            *(setslot(each.near, taker.endpoint, slot, "NODE", each.near) for slot in slots),
            *(setslot(each.owner, owner.endpoint, slot, "NODE", each.near) for slot in slots),
        ),
        aims=("own", written(ranges)),
        guards=(
            Answers(each.near, taker.endpoint),
            Answers(each.owner, owner.endpoint),
            *_both_marked(each, slots),
            Unclaimed(ranges, each.owner),
        ),
        within_ms=HEARD_MS,
    )


# In words


def _evidence(case: Case, each: Opened, slots: list[int]) -> str:
    snapshot, what = case.snapshot, slots_text(ranges_of(slots))
    if each.way is Way.REPLICA:
        return f"{name_of(snapshot, each.near)} still marks {what}, and its primary does not"
    said = listing(_side(snapshot, node, slots) for node in dict.fromkeys((each.owner, *each.others)))
    counted = [node for node in (each.owner, *each.others) if node in snapshot.by_observer]
    held = listing(holds_text(case, node, slots) for node in counted)
    return f"half moved: {what}; {said}; {held} of {_it(slots)}"


def _side(snapshot: Snapshot, node: NodeId, slots: list[int]) -> str:
    name, view = name_of(snapshot, node), snapshot.by_observer.get(node)
    if view is None or view.own is None:
        return f"{name} does not answer"
    gives = set(slots) & {slot for slot, _ in view.own.migrating}
    takes = set(slots) & {slot for slot, _ in view.own.importing}
    words = [word for word, there in (("migrating", gives), ("importing", takes)) if there]
    return f"{name} marks {'it' if len(slots) == 1 else 'them'} {' and '.join(words)}" if words else f"{name} no mark"


def _story(case: Case, each: Opened, slots: list[int]) -> str:
    snapshot = case.snapshot
    owner, near, what = name_of(snapshot, each.owner), name_of(snapshot, each.near), short(ranges_of(slots))
    if each.way is Way.CLOSE and each.near in case.decisions.forget:
        return f"{near} never comes back, as you said: {owner} keeps {what}, without what was moved there already."
    return {
        Way.CLOSE: f"A move of {what} was begun and no key is on the other side, so {owner} keeps {_it(slots)}.",
        Way.FINISH: f"A move of {what} was cut off at its end: {near} holds all keys, so it becomes the owner.",
        Way.MOVING: f"Keys of {owner} or {near} were moved within the last seconds: a resharding is at work.",
        Way.SPLIT: f"A move of {what} was cut off in the middle: {owner} and {near} both hold keys of {_it(slots)}.",
        Way.GONE: f"The other side of the move, {near}, does not answer, and may hold keys that {owner} gave to it.",
        Way.OWNERLESS: f"{owner} owns {what} and does not answer: nobody can tell what it holds.",
        Way.UNCOUNTED: f"{near} did not say how many keys of {what} it holds.",
        Way.REPLICA: f"{near} was away when {what} was closed. Promoted, it would take the move up again.",
    }[each.way]


def _it(slots: list[int]) -> str:
    return "it" if len(slots) == 1 else "them"


def _advice(case: Case, each: Opened, slots: list[int]) -> str:
    """What ends it, where rcfail does not; "" where it does."""
    snapshot = case.snapshot
    owner, near = name_of(snapshot, each.owner), name_of(snapshot, each.near)
    if each.way is Way.MOVING:
        return "Let it end. If the slots are still open a minute later, run this again."
    if each.way is Way.OWNERLESS:
        return f"Bring it back first: rcfail recover {each.owner} --dry-run"
    if each.way is Way.GONE:
        return (
            f"Start {near} first. Only if it never comes back, let {owner} go on without those keys: "
            f"rcfail recover --forget {each.near} --dry-run"
        )
    if each.way is Way.UNCOUNTED:
        node = snapshot.node(each.near)
        place = node.view.endpoint if node is not None and node.view is not None else None
        return f"See why: {redis_cli(place, 'CLUSTER', 'COUNTKEYSINSLOT', str(slots[0]))}"
    if each.way is Way.REPLICA and not _in_sync(snapshot, each.near):
        return f"It is not in sync with {owner}, so it would not hear of it: rcfail recover {each.near} --dry-run"
    if each.way is Way.FINISH and flushed_without(snapshot.nodes[each.owner], slots):
        keys = snapshot.by_observer[each.owner].vitals.storage.keys
        return (
            f"Without these slots {owner} owns none and becomes a replica of {near}: the {keys or 'unknown'} keys that "
            f"it still holds of other slots are thrown away. Save them first (redis-cli --rdb FILE), or give it slots."
        )
    return _split(case, each, slots) if each.way is Way.SPLIT else ""


def _in_sync(snapshot: Snapshot, node_id: NodeId) -> bool:
    view = snapshot.by_observer.get(node_id)
    return view is not None and bool(view.vitals.replication.link_up)


def _split(case: Case, each: Opened, slots: list[int]) -> str:
    """redis-cli brings all keys of a slot to the one of the two that holds more of them."""
    near, place = name_of(case.snapshot, each.near), case.snapshot.by_observer[each.owner].endpoint
    return (
        f"rcfail moves no keys. This brings them together on one of the two and closes {_it(slots)}: "
        f"redis-cli --cluster fix {place} (SETSLOT STABLE instead would hide what {near} holds)"
    )

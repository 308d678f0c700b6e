"""Slots that two nodes claim, that their owner does not claim, or that nobody claims: who owns them, by who holds keys.

No key is ever moved or deleted here, and a slot never gets an owner that was guessed: it is the node that holds its
keys, the one that all others name, or the one that the operator names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rcfail.change.recover.action import Action, ActionKind, Losing, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, KnownToAll, name_of
from rcfail.change.recover.slots.orphans import Fate, What, chosen, counters, fates, orphans, silent
from rcfail.change.recover.slots.quarrels import disputed, quarrels
from rcfail.change.recover.slots.slots import (
    HEARD_MS,
    Owns,
    Unclaimed,
    ask_of,
    batches,
    claiming,
    closing,
    holds_text,
    keys_of,
    ranges_of,
    setslot,
    short,
    written,
)
from rcfail.cluster.marks import marked, own_lines
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.wording import counted, listing, named, redis_cli, slots_text

_MOST_RANGES = 8
"""More than these are no command that anybody reads."""


def questions(case: Case) -> Iterator[Question]:
    """Who holds keys of the slots that nobody claims, and of those that two claim."""
    nobodys = [slot for stretch in orphans(case.snapshot) for slot in range(stretch.first, stretch.last + 1)]
    if nobodys:
        yield from ask_of(counters(case.snapshot), nobodys)
    for claimants, slots in quarrels(case.snapshot).items():
        yield from ask_of((case.snapshot.nodes[each] for each in claimants), slots)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """Disputed slots first, then those that their owner does not claim, then those that nobody is said to own."""
    yield from disputed(case, taken)
    for fate, slots in fates(case).items():
        found = _condition(case, fate, slots)
        # What others mend first is planned for when it is mended; what only the operator can decide is told at once.
        if not found.actions or taken.isdisjoint(found.nodes):
            yield found


def _condition(case: Case, fate: Fate, slots: list[int]) -> Condition:
    seen = _seen(case, fate, slots)
    code = ConditionCode.SLOTS_UNCOVERED if fate.known is None else ConditionCode.SLOTS_NOT_CLAIMED
    finding = "slots-uncovered" if fate.known is None else "slots-not-claimed"
    subject, findings = short(ranges_of(slots)), (finding, "cluster-state-fail")
    nodes = tuple(dict.fromkeys((*((fate.known,) if fate.known else ()), *fate.who)))
    if fate.what is What.OWN:
        actions, lacking = _owning(case, fate, slots)
        story = _story(case, fate, slots) if actions else f"It is to own {short(ranges_of(slots))}, and cannot."
        return Condition(code, nodes, subject, seen, story, actions, findings, lacking)
    choice = fate.what not in (What.UNCOUNTED, What.COPY)
    story, advice = _undecided(case, fate, slots)
    return Condition(code, nodes, subject, seen, story, (), findings, advice, choice)


def _seen(case: Case, fate: Fate, slots: list[int]) -> str:
    what = slots_text(ranges_of(slots))
    holders = [each for each in counters(case.snapshot) if keys_of(case, each, slots)]
    held = listing(holds_text(case, each.node_id, slots) for each in holders)
    keys = f"{held} of {_them(slots)}" if held else f"no node that answers holds a key of {_them(slots)}"
    if fate.what is What.UNCOUNTED:
        keys = f"{named(case.snapshot, fate.who)} did not say how many keys of {_them(slots)} it holds"
    if fate.known is None:
        return f"no view gives {what} to anybody; {keys}"
    said, owner = "is said" if len(slots) == 1 else "are said", name_of(case.snapshot, fate.known)
    return f"{what} {said} to be owned by {owner}, which does not claim {_them(slots)}; {keys}"


def _story(case: Case, fate: Fate, slots: list[int]) -> str:
    snapshot, owner = case.snapshot, fate.who[0]
    name, what = name_of(snapshot, owner), short(ranges_of(slots))
    if chosen(case, slots[0]) == owner and owner in snapshot.nodes:
        hidden = listing(holds_text(case, each.node, slots) for each in _hidden(case, snapshot.nodes[owner], slots))
        rest = f" What others hold is out of reach then: {hidden}." if hidden else ""
        return f"You named {name} as the owner of {what}, so it claims {_them(slots)}.{rest}"
    if fate.known is None:
        return f"{name} alone holds keys of {what}, so it claims {_them(slots)}."
    if owner != fate.known:
        return f"{name} was taking {what} over and holds all the keys, so the move is ended there."
    gave_up = f"{name} gave up {what} and told nobody; it claims {_them(slots)} again, with all the keys that it holds."
    if _knows_nobody(snapshot, owner):
        return f"{name} was reset: it forgot the cluster and its slots. It is introduced again and claims them again."
    return gave_up


def _them(slots: list[int]) -> str:
    return "it" if len(slots) == 1 else "them"


def _owning(case: Case, fate: Fate, slots: list[int]) -> tuple[tuple[Action, ...], str]:
    """What lets this node own them; or nothing, and why."""
    snapshot, owner = case.snapshot, fate.who[0]
    node = snapshot.node(owner)
    view = snapshot.by_observer.get(owner)
    if node is None or view is None or view.own is None:
        return (), f"{name_of(snapshot, owner)} does not answer: name a primary that does, or start it first."
    if view.own.role is not Role.PRIMARY:
        return (), f"{node.label} is no primary: name the primary of its shard."
    actions = [_meeting(snapshot, node, view)] if _knows_nobody(snapshot, owner) else []
    actions.extend(_opening_ears(snapshot, owner, slots))
    bound = _bound(view, slots) | (dict.fromkeys(slots, fate.known) if fate.known not in (None, owner) else {})
    if free := [slot for slot in slots if slot not in bound]:
        actions.append(_claim(case, node, view, free))
    actions.extend(_taking(case, node, view, batch, bound) for batch in batches(bound))
    return tuple(actions), ""


def _opening_ears(snapshot: Snapshot, owner: NodeId, slots: list[int]) -> Iterator[Action]:
    """Who marks a slot as importing does not hear of a new owner (clusterUpdateSlotsConfigWith, cluster_legacy.c)."""
    for node, own in own_lines(snapshot):
        deaf = {slot for slot, _ in own.importing} & set(slots)
        if node != owner and own.role is not Role.REPLICA:
            place = snapshot.by_observer[node].endpoint
            yield from (closing(node, name_of(snapshot, node), place, batch) for batch in batches(deaf))


def _bound(view: View, slots: list[int]) -> dict[int, NodeId | None]:
    """Which of these slots the node's own table gives to another node: ADDSLOTS is refused for those."""
    wanted, found = set(slots), dict[int, NodeId | None]()
    for belief in view.reply.table.beliefs if view.reply else ():
        if belief.node_id != view.observer:
            found |= {slot: belief.node_id for first, last in belief.slots for slot in range(first, last + 1)}
    return {slot: owner for slot, owner in found.items() if slot in wanted}


def _claim(case: Case, node: Node, view: View, slots: list[int]) -> Action:
    ranges = ranges_of(slots)
    return Action(
        ActionKind.SETSLOT,
        node.node_id,
        f"let {node.label} own {short(ranges)}",
        expects=(Owns(node.node_id, ranges),),
        sends=(claiming(node.node_id, view.endpoint, view.vitals.server, slots),),
        aims=("own", written(ranges)),
        guards=(Answers(node.node_id, view.endpoint), Unclaimed(ranges, node.node_id)),
        within_ms=HEARD_MS,
        loses=_hidden(case, node, slots),
    )


def _taking(case: Case, node: Node, view: View, slots: Iterable[int], bound: Mapping[int, NodeId | None]) -> Action:
    """SETSLOT NODE takes a slot from whom the node's own table names. Only a node that marks it as importing raises
    its epoch with it, and a claim of a lower epoch is not heard (clusterCommandSetSlot, cluster_legacy.c).
    """
    taken, sends = list(slots), list[Send]()
    marks = marked(view.own) if view.own else frozenset[int]()
    for slot in taken:
        giver = bound[slot]
        if slot not in marks and giver not in (None, node.node_id):
            sends.append(setslot(node.node_id, view.endpoint, slot, "IMPORTING", str(giver)))
        sends.append(setslot(node.node_id, view.endpoint, slot, "NODE", node.node_id))
    ranges = ranges_of(taken)
    return Action(
        ActionKind.SETSLOT,
        node.node_id,
        f"let {node.label} own {short(ranges)}",
        expects=(Owns(node.node_id, ranges),),
        sends=tuple(sends),
        aims=("own", written(ranges)),
        guards=(Answers(node.node_id, view.endpoint), Unclaimed(ranges, node.node_id)),
        within_ms=HEARD_MS,
        loses=_hidden(case, node, taken),
    )


def _hidden(case: Case, owner: Node, slots: list[int]) -> tuple[Losing, ...]:
    """What other primaries hold of these slots is out of reach from then on, and Valkey deletes it at a restart
    (verifyClusterConfigWithData, cluster_legacy.c)."""
    others = [each for each in counters(case.snapshot) if each.node_id != owner.node_id]
    counts = ((each, keys_of(case, each, slots)) for each in others if each.primary_id != owner.node_id)
    return tuple(Losing(each.node_id, count, 0) for each, count in counts if count != 0)


def _knows_nobody(snapshot: Snapshot, node_id: NodeId) -> bool:
    view = snapshot.by_observer.get(node_id)
    return view is not None and view.reply is not None and set(view.reply.table.by_id) <= {node_id}


def _meeting(snapshot: Snapshot, node: Node, view: View) -> Action:
    """A member that lists it introduces it again: it knows its id already."""
    lists = [each for each in snapshot.views if each.observer != node.node_id and each.belief(node.node_id)]
    teller = next((each for each in lists if each.own and each.own.slots), lists[0])
    assert teller.observer is not None
    told = teller.belief(node.node_id)
    address = told.address if told is not None and told.address.endpoint else node.address
    words = [address.host, str(address.port)]
    if address.bus_port not in (None, address.port + 10_000):
        words.append(str(address.bus_port))
    return Action(
        ActionKind.MEET,
        node.node_id,
        f"introduce {node.label} to {name_of(snapshot, teller.observer)}",
        expects=(KnownToAll(node.node_id),),
        sends=(Send(teller.observer, teller.endpoint, ("CLUSTER", "MEET", *words)),),
        guards=(Answers(node.node_id, view.endpoint), Answers(teller.observer, teller.endpoint)),
        within_ms=HEARD_MS,
    )


# What rcfail does not decide


def _undecided(case: Case, fate: Fate, slots: list[int]) -> tuple[str, str]:
    """The story and the advice."""
    snapshot, ranges = case.snapshot, ranges_of(slots)
    slots_word = written(ranges) if len(ranges) <= _MOST_RANGES else "SLOTS"
    flag = f"rcfail recover --slot-owner {slots_word}=NODE --dry-run"
    if fate.what is What.UNCOUNTED:
        place = next((view.endpoint for view in snapshot.views if view.observer == fate.who[0]), None)
        count = redis_cli(place, "CLUSTER", "COUNTKEYSINSLOT", str(slots[0]))
        if case.reply(place, "CLUSTER", "COUNTKEYSINSLOT", str(slots[0])) is None:
            return (
                f"{named(snapshot, fate.who)} may hold keys of {short(ranges_of(slots))}, and did not answer in time, "
                "or these are too many slots to ask everybody about.",
                f"Run it again with a longer --deadline, or say who shall own them: {flag}",
            )
        return (
            f"{named(snapshot, fate.who)} may hold keys of {short(ranges)}, and nobody can tell.",
            f"Let it count them, or say who shall own them ({flag}): {count}",
        )
    if fate.what is What.COPY:
        replica = snapshot.nodes[fate.who[0]]
        return (
            f"Only {named(snapshot, fate.who)}, a replica, holds keys of {short(ranges)}: once it syncs with its "
            "primary they are gone.",
            f"Let it take its primary's place: rcfail failover {replica.node_id} --force --dry-run",
        )
    if fate.what is What.NOBODY:
        return _nobody(case, slots, flag)
    held = listing(holds_text(case, each, slots) for each in fate.who)
    return (
        f"Who becomes the owner serves only what it holds itself; what others hold is out of reach then ({held}).",
        f"Save what each of them holds (redis-cli --rdb FILE), then name the one whose keys count: {flag}",
    )


def _nobody(case: Case, slots: list[int], flag: str) -> tuple[str, str]:
    snapshot = case.snapshot
    away = silent(snapshot)
    near = _around(snapshot, slots)
    pick = f"; all slots around {_them(slots)} are of {name_of(snapshot, near)}" if near else ""
    if away:
        return (
            f"{named(snapshot, away)} does not answer and may hold the keys: with another owner they are shut out.",
            f"Start it first. Only if it never comes back, name an owner{pick}: {flag}",
        )
    return (
        f"No key is at stake, by the word of {counted(len(counters(snapshot)), 'node')}, and rcfail invents no owner.",
        f"Name the owner{pick}: {flag}",
    )


def _around(snapshot: Snapshot, slots: list[int]) -> NodeId | None:
    """Who owns the slots just below and just above each of these runs, where that is one node."""
    found: set[NodeId | None] = set()
    for first, last in ranges_of(slots):
        beside = (first - 1, last + 1)
        found |= {part.owner for part in snapshot.stretches for slot in beside if part.first <= slot <= part.last}
    return found.pop() if len(found) == 1 else None

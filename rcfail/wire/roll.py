"""The roll call: from what came back to one row a node.

An id is here a node that any view lists, handshakes left out: their ids are made up for the time being.
Every id gets exactly one row: an Answer in which it says who it is, or an Answer at its address by somebody else
(`expected` is the id then), or a Silence. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from rcfail.cluster.dialect import server_of
from rcfail.cluster.natmap import NO_NATMAP, Natmap
from rcfail.cluster.nouns import SLOT_COUNT, Belief, Endpoint, NodeId, NodesReply, SlotRange
from rcfail.cluster.observation import Answer, Silence, SilenceReason

MOST_NODES = 10_000
MOST_OPINIONS = 1_500_000
MOST_CLAIMED_SLOTS = 16 * SLOT_COUNT
"""What can be judged in some seconds: nodes, nodes times tables that differ, slots of all claims that differ. Redis
Cluster is made for some 1,000 nodes; 1,200 that all disagree still fit, and so does every slot claimed 16 times."""

MOST_NAMES = 16
"""So many names of one place are kept; more are only given by who makes them up."""

_NONE: frozenset[NodeId] = frozenset()


class Listings:
    """Which ids the views list, and where we reach them. Grows with every reply; nothing is walked twice."""

    def __init__(self, natmap: Natmap = NO_NATMAP) -> None:
        self._natmap = natmap
        # Equal tables and beliefs are one object, so their id() tells them apart fast. Each is held here, because
        # Python may give the id() of what is gone to something else.
        self._first: dict[int, NodesReply] = {}
        self._beliefs: dict[int, Belief] = {}
        self._told_by_others: set[int] = set()
        self._places: dict[Endpoint, set[NodeId]] = {}
        self._names: dict[Endpoint, set[str]] = {}
        self._ids: set[NodeId] = set()
        self._claims: set[tuple[NodeId, int, tuple[SlotRange, ...]]] = set()
        self._claimed_slots = 0
        self.portless: set[NodeId] = set()

    def add(self, reply: NodesReply) -> list[tuple[Endpoint, NodeId]]:
        """Take a reply in, and return what it lists that no reply listed before: where, and whom."""
        first = self._first.setdefault(id(reply.table), reply)
        if first is not reply:
            if first.myself != reply.myself:
                self._told_by_others.update(_own(first))
            return []
        told = {id(belief): belief for belief in reply.table.beliefs}
        self._told_by_others.update(told.keys() - _own(reply))
        fresh = told.keys() - self._beliefs.keys()
        self._beliefs.update(told)
        new: list[tuple[Endpoint, NodeId]] = []
        for key in told:
            if key in fresh:
                new.extend(self._note(told[key]))
        return new

    def has_room_for(self, reply: NodesReply) -> bool:
        """Whether with this reply the most that can be judged is still not passed."""
        if id(reply.table) in self._first:
            return True
        ids = len(self._ids) + len(reply.table.by_id.keys() - self._ids)
        fresh = {_claim_of(belief) for belief in reply.table.beliefs if id(belief) not in self._beliefs} - self._claims
        slots = self._claimed_slots + sum(last - first + 1 for _, _, ranges in fresh for first, last in ranges)
        return ids <= MOST_NODES and ids * (len(self._first) + 1) <= MOST_OPINIONS and slots <= MOST_CLAIMED_SLOTS

    def _note(self, belief: Belief) -> list[tuple[Endpoint, NodeId]]:
        if belief.handshake:
            return []
        self._ids.add(belief.node_id)
        if (claim := _claim_of(belief)) not in self._claims:
            self._claims.add(claim)
            self._claimed_slots += belief.slot_count
        place = self._place_of(belief)
        if place is None:
            if belief.address.host and not belief.address.port and not belief.noaddr:
                self.portless.add(belief.node_id)
            return []
        self._places.setdefault(place, set()).add(belief.node_id)
        names = self._names.setdefault(place, set())
        if len(names) < MOST_NAMES:
            names.update(filter(None, (belief.address.hostname, belief.address.host)))
        return [(place, belief.node_id)]

    def _place_of(self, belief: Belief) -> Endpoint | None:
        return None if belief.noaddr else self._natmap.reached(belief.address)

    def names_at(self, place: Endpoint) -> AbstractSet[str]:
        """The addresses and host names by which the views know what is there."""
        return self._names.get(place, frozenset())

    @property
    def ids(self) -> frozenset[NodeId]:
        return frozenset(self._ids)

    def at(self, place: Endpoint) -> AbstractSet[NodeId]:
        """The ids that any view lists there."""
        return self._places.get(place, _NONE)

    def by_others(self) -> Mapping[Endpoint, frozenset[NodeId]]:
        """The same for every place, without what only the node says of itself."""
        found: dict[Endpoint, set[NodeId]] = {}
        for key in self._told_by_others:
            belief = self._beliefs[key]
            place = self._place_of(belief)
            if place is not None and not belief.handshake:
                found.setdefault(place, set()).add(belief.node_id)
        return {place: frozenset(ids) for place, ids in found.items()}


def _own(reply: NodesReply) -> set[int]:
    by_id = reply.table.by_id
    return {id(by_id[node_id]) for node_id in reply.myself if node_id in by_id}


def _claim_of(belief: Belief) -> tuple[NodeId, int, tuple[SlotRange, ...]]:
    return belief.node_id, belief.config_epoch, belief.slots


def claimed(answer: Answer) -> NodeId | None:
    """The id that the node says is its own; None where it does not say, or names two."""
    myself = answer.nodes.myself if answer.nodes else ()
    return myself[0] if len(myself) == 1 else None


def call(
    answers: Sequence[Answer], silences: Sequence[Silence], listings: Listings
) -> tuple[tuple[Answer, ...], tuple[Silence, ...]]:
    """One row a node, in the order of the endpoints.

    A node that answered under two addresses keeps the answer from where others list it. A silent address
    whose nodes all answered elsewhere is no row: see `deserted`. One that nobody lists is: with the id that the
    Silence already expects, from an earlier round, or with none.
    """
    answers = sorted(answers, key=lambda answer: answer.endpoint)
    listed = listings.by_others()
    heard = {own for own in map(claimed, answers) if own}
    named = [replace(answer, expected=_expected(answer, listed, heard)) for answer in answers]
    kept = _one_each(named, listed)
    covered = heard | {answer.expected for answer in kept if answer.expected}
    rows: list[Silence] = []
    for silence in sorted(silences, key=_place):
        ids = listings.at(silence.endpoint) if silence.endpoint else frozenset[NodeId]()
        ids = ids or frozenset([silence.expected] if silence.expected else [])
        missing = sorted(ids - covered)
        rows.extend(replace(silence, expected=node_id) for node_id in missing)
        covered.update(missing)
        if not ids:
            rows.append(silence)
    answered = _answered_at(answers, listings)
    left = sorted(listings.ids - covered)
    rows.extend(_without_place(node_id, answered.get(node_id), node_id in listings.portless) for node_id in left)
    return tuple(sorted(kept, key=lambda answer: answer.endpoint)), tuple(rows)


def doubles(answers: Sequence[Answer], kept: Sequence[Answer]) -> tuple[Answer, ...]:
    """Answers that are no row, because another process of the same id has it. INFO's run_id tells processes apart."""
    rows = {own: answer for answer in kept if (own := claimed(answer))}
    return tuple(
        answer
        for answer in sorted(answers, key=lambda answer: answer.endpoint)
        if (own := claimed(answer)) in rows and own is not None and _other_process(answer, rows[own])
    )


def _other_process(answer: Answer, row: Answer) -> bool:
    if answer.endpoint == row.endpoint or not answer.info or not row.info:
        return False
    here, there = server_of(answer.info).run_id, server_of(row.info).run_id
    return bool(here and there) and here != there


def deserted(answers: Sequence[Answer], silences: Sequence[Silence], listings: Listings) -> tuple[Silence, ...]:
    """The silent addresses at which others list a node that answered elsewhere, one row for each such node.

    Clients are sent there, so it is no loss of ours alone that nobody answers.
    """
    listed = listings.by_others()
    heard = {own for own in map(claimed, answers) if own}
    return tuple(
        replace(silence, expected=node_id)
        for silence in sorted(silences, key=_place)
        if silence.endpoint
        for node_id in sorted(listed.get(silence.endpoint, _NONE) & heard)
    )


def _expected(answer: Answer, listed: Mapping[Endpoint, frozenset[NodeId]], heard: set[NodeId]) -> NodeId | None:
    """Whom the others list there: the node itself if they do, else one that was heard nowhere.

    Where nobody lists anyone, a node that cannot tell its own id keeps the one of an earlier round.
    """
    ids = listed.get(answer.endpoint, frozenset())
    own = claimed(answer)
    if own in ids:
        return own
    return min(ids - heard, default=None) or min(ids, default=None) or (None if own else answer.expected)


def _one_each(answers: Sequence[Answer], listed: Mapping[Endpoint, frozenset[NodeId]]) -> list[Answer]:
    """Of the answers of one node the best: told by itself, listed there by others, then the smaller endpoint."""

    def rank(answer: Answer) -> tuple[bool, bool, Endpoint]:
        own = claimed(answer)
        return own is None, own not in listed.get(answer.endpoint, frozenset()), answer.endpoint

    kept: dict[NodeId | Endpoint, Answer] = {}
    for answer in sorted(answers, key=rank):
        kept.setdefault(claimed(answer) or answer.expected or answer.endpoint, answer)
    return list(kept.values())


def _answered_at(answers: Sequence[Answer], listings: Listings) -> Mapping[NodeId, Answer]:
    """The first answer that came from a place where the id is listed."""
    found: dict[NodeId, Answer] = {}
    for answer in answers:
        for node_id in listings.at(answer.endpoint):
            found.setdefault(node_id, answer)
    return found


def _without_place(node_id: NodeId, answer: Answer | None, portless: bool) -> Silence:
    """The row of an id with no silent address of its own."""
    if answer is None and portless:
        return Silence(None, node_id, SilenceReason.NO_PORT, "the views print port 0 for it")
    if answer is None:
        return Silence(None, node_id, SilenceReason.NO_ADDRESS, "no view prints an address for it")
    text = f"{claimed(answer) or 'another node'} answers there"
    return Silence(answer.endpoint, node_id, SilenceReason.ANOTHER_NODE, text)


def _place(silence: Silence) -> Endpoint:
    return silence.endpoint or Endpoint("", 0)

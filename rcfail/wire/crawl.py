"""From any live seed to the union of all nodes that any view names, one direct connection each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.natmap import NO_NATMAP, Natmap
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.asks import Questioner
from rcfail.wire.bounds import Unheard
from rcfail.wire.dial import addresses_of, literal
from rcfail.wire.door import Door
from rcfail.wire.names import Names
from rcfail.wire.pool import Pool
from rcfail.wire.roll import MOST_NODES, Listings, call, claimed, deserted, doubles

Row = TypeVar("Row", Answer, Silence)

NODES_AT_ONCE = 64
BEGUN_AT_ONCE = 128
"""Connections that are begun together; threads are for those of them that take longer."""

SECOND_ADDRESS_S = 1.0
"""When all nodes are heard, so long is waited for the addresses at which some of them are listed besides."""

LONGEST_HERE_S = 0.2
"""A node that takes longer than this to end what it began is the last that is read without a thread."""

SLOW_SILENCE_MS = 500
"""A second look does not wait again for a silence that took this long."""

_TOO_MANY = Absence(
    AbsenceKind.MALFORMED,
    f"left out: with it there are more than {MOST_NODES} nodes, or more contradictions than any cluster has",
)


def crawl(
    seeds: Sequence[Endpoint],
    door: Door,
    *,
    deadline: Deadline,
    clock: Clock = SYSTEM_CLOCK,
    skip: Iterable[Silence] = (),
    reader: NodesReader | None = None,
    all_links: bool = False,
    also: Iterable[Endpoint] = (),
    here: Iterable[Endpoint] = (),
    natmap: Natmap = NO_NATMAP,
) -> Observation:
    """One round over the whole cluster. Never raises for what a server or a network does.

    A seed that is a name stands for all its addresses. The endpoints of `skip` are not asked; their silences
    count again. What is not answered when the deadline passes is a Silence NO_TIME. `reader` may be shared
    between rounds; `all_links` asks for CLUSTER LINKS in large clusters too; `also` are places to begin at besides,
    `here` those whose answers are on their way already: they are read first, in the caller's thread. `natmap` says
    where the addresses that the views print are reached from here.
    """
    questioner = Questioner(door, reader or NodesReader(), clock, all_links)
    crawler = _Crawler(questioner, door.names, deadline, clock, tuple(skip), natmap)
    crawler.ask_here(here)
    crawler.begin_at(seeds, door.bounds.resolve_s)
    for place in also:
        crawler.ask(place)
    return crawler.run(tuple(seeds))


def look_again(
    previous: Observation,
    door: Door,
    *,
    deadline: Deadline,
    clock: Clock = SYSTEM_CLOCK,
    reader: NodesReader | None = None,
    all_links: bool = False,
) -> Observation:
    """A second round: ask whoever answered or refused fast, and whoever is new; carry slow silences over."""
    slow = tuple(silence for silence in (*previous.silences, *previous.deserted) if _is_slow(silence))
    places = [answer.endpoint for answer in (*previous.answers, *previous.doubles)]
    places += [each.endpoint for each in previous.silences if each.endpoint and each not in slow]
    questioner = Questioner(door, reader or NodesReader(), clock, all_links)
    known = _who_was_where(previous)
    crawler = _Crawler(questioner, door.names, deadline, clock, slow, previous.natmap, known)
    for place in places:
        crawler.ask(place)
    return crawler.run(previous.seeds)


def _is_slow(silence: Silence) -> bool:
    return silence.waited_ms >= SLOW_SILENCE_MS or silence.reason in (SilenceReason.NO_TIME, SilenceReason.UNRESOLVABLE)


def _who_was_where(previous: Observation) -> dict[Endpoint, NodeId]:
    """So that a node keeps its name when nobody is left who lists it."""
    found = {each.endpoint: claimed(each) or each.expected for each in previous.answers}
    found |= {each.endpoint: each.expected for each in previous.silences if each.endpoint}
    return {place: node_id for place, node_id in found.items() if node_id}


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The addresses of a seed, or why there are none."""

    seed: Endpoint
    found: tuple[Endpoint, ...] | Unheard
    waited_ms: int


class _Crawler:
    """The state of one round; only the caller's thread touches it."""

    def __init__(
        self,
        questioner: Questioner,
        names: Names,
        deadline: Deadline,
        clock: Clock,
        skip: tuple[Silence, ...],
        natmap: Natmap,
        known: Mapping[Endpoint, NodeId] | None = None,
    ) -> None:
        self._questioner = questioner
        self._names = names
        self._natmap = natmap
        self._deadline = deadline
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._began_at_unix_ms = clock.unix_ms()
        self._pool: Pool[Answer | Silence | _Lookup] = Pool(NODES_AT_ONCE)
        self._listings = Listings(natmap)
        self._answers: list[Answer] = []
        self._silences = [silence for silence in skip if silence.endpoint]
        self._known = known or {}
        self._met = {silence.endpoint for silence in self._silences}
        self._waiting: dict[Endpoint, None] = {}
        self._due: list[Endpoint] = []
        self._here = True
        self._heard: set[NodeId] = set()
        self._siblings: dict[Endpoint, tuple[Endpoint, ...]] = {}
        self._last_s: float | None = None

    def begin_at(self, seeds: Iterable[Endpoint], resolve_s: float) -> None:
        for seed in dict.fromkeys(seeds):
            literals = literal(seed)
            for place in literals:
                self.ask(place)
            if not literals:
                self._look_up(seed, resolve_s)

    def ask(self, place: Endpoint) -> None:
        """Ask whoever is there, once in a round."""
        if place not in self._met:
            self._met.add(place)
            self._waiting[place] = None
            self._due.append(place)

    def ask_here(self, places: Iterable[Endpoint]) -> None:
        """Ask whoever is at these, one after the other, and wait for each."""
        due = [place for place in dict.fromkeys(places) if place not in self._met]
        self._met.update(due)  # before the first of them lists the others
        for place in due:
            self._take(self._questioner.ask(place, self._deadline))

    def run(self, seeds: tuple[Endpoint, ...]) -> Observation:
        """Take in what comes, ask whom it names, and call the roll at the end or when the deadline passes."""
        try:
            self._ask_due()
            while self._waiting and (ended := self._pool.next_ended(self._patience())) is not None:
                self._take(ended)
                self._ask_due()
        finally:
            self._pool.close()
            self._questioner.drop()
        self._give_up()
        answers, silences = call(self._answers, self._worth_telling(), self._listings)
        empty = deserted(self._answers, self._silences, self._listings)
        return Observation(
            taken_at_unix_ms=self._began_at_unix_ms,
            elapsed_ms=self._elapsed_ms(),
            seeds=seeds,
            answers=answers,
            silences=silences,
            deserted=empty,
            natmap=self._natmap,
            doubles=doubles(self._answers, answers),
        )

    def _ask_due(self) -> None:
        """Ask so many at once; read who answers within a moment here, and leave the others to threads."""
        while self._due and not self._deadline.passed():
            some, self._due = self._due[:BEGUN_AT_ONCE], self._due[BEGUN_AT_ONCE:]
            left = dict.fromkeys(some)
            for place in self._questioner.begin(some, self._deadline) if self._here else ():
                if self._here:
                    del left[place]
                    began_s = self._clock.monotonic_s()
                    self._take(self._questioner.ask(place, self._deadline))
                    self._here = self._clock.monotonic_s() - began_s < LONGEST_HERE_S
            for place in left:
                self._pool.submit(lambda place=place: self._questioner.ask(place, self._deadline))  # type: ignore[misc]

    def _look_up(self, seed: Endpoint, resolve_s: float) -> None:
        def job() -> _Lookup:
            try:
                found: tuple[Endpoint, ...] | Unheard = addresses_of(seed, resolve_s, self._deadline)
            except Unheard as error:
                found = error
            return _Lookup(seed, found, self._elapsed_ms())

        self._waiting[seed] = None
        self._pool.submit(job)

    def _take(self, ended: Answer | Silence | _Lookup) -> None:
        if isinstance(ended, _Lookup):
            self._take_lookup(ended)
            return
        if ended.endpoint:
            self._waiting.pop(ended.endpoint, None)
        if isinstance(ended, Silence):
            self._silences.append(self._named(ended))
            return
        if ended.nodes and not self._listings.has_room_for(ended.nodes):
            ended = replace(ended, nodes=None, absences={**ended.absences, Ask.CLUSTER_NODES: _TOO_MANY})
        self._answers.append(self._named(ended))
        own = claimed(ended)
        if own:
            self._heard.add(own)
        if ended.nodes:
            for place, _ in self._listings.add(ended.nodes):
                self._names.learn(place, place.host, *sorted(self._listings.names_at(place)))
                # Also one that was reached at a seed's address: clients are sent to the one that it announces.
                self.ask(place)

    def _named(self, row: Row) -> Row:
        known = self._known.get(row.endpoint) if row.endpoint else None
        return replace(row, expected=known) if known else row

    def _take_lookup(self, ended: _Lookup) -> None:
        del self._waiting[ended.seed]
        if isinstance(ended.found, Unheard):
            self._silences.append(Silence(ended.seed, None, ended.found.reason, ended.found.text, ended.waited_ms))
            return
        for address in ended.found:
            self._siblings[address] = ended.found
            self._names.learn(address, ended.seed.host)
            self.ask(address)

    def _patience(self) -> Deadline:
        """Until when an answer is waited for: to the end, while one can still bring a node that was not heard."""
        if any(not (ids := self._listings.at(place)) or not ids <= self._heard for place in self._waiting):
            self._last_s = None
            return self._deadline
        if self._last_s is None:
            self._last_s = self._clock.monotonic_s() + SECOND_ADDRESS_S
        return Deadline(self._clock, min(self._last_s, self._deadline.ends_at_s))

    def _give_up(self) -> None:
        reason, text = SilenceReason.NO_TIME, "the deadline passed before it answered"
        if not self._deadline.passed():
            reason, text = SilenceReason.TOO_SLOW, f"did not answer within {SECOND_ADDRESS_S:g} s"
        for place in self._waiting:
            self._silences.append(self._named(Silence(place, None, reason, text, self._elapsed_ms())))

    def _worth_telling(self) -> list[Silence]:
        """Without the silent addresses of a name of which another address answered, such as ::1 of localhost."""
        answered = {answer.endpoint for answer in self._answers}
        return [
            silence
            for silence in self._silences
            if silence.endpoint is None
            or self._listings.at(silence.endpoint)
            or not answered.intersection(self._siblings.get(silence.endpoint, ()))
        ]

    def _elapsed_ms(self) -> int:
        return round((self._clock.monotonic_s() - self._began_s) * 1000)

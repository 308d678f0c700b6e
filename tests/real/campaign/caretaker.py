"""A person who looks after a real cluster by hand: introduces nodes, gives slots an owner and replicas a primary.

It mends what a campaign has broken, from what the nodes' own tables say, without the program under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from rcfail.clock import Deadline, poll
from rcfail.errors import OutOfTime, RcfailError
from tests.real.campaign.oracle import Oracle, Truth, Word, facts
from tests.real.resp import Err, Mute, Reply, Wire
from tests.real.servers import RunningLab

TELL_WITHIN_S = 2.0
_MEET_WITHIN_S = 5.0


class NotNow(Exception):
    """The server said no, or did not answer."""


class Caretaker:
    """`slots` are those that it cares for."""

    def __init__(self, lab: RunningLab, oracle: Oracle, slots: tuple[int, ...]) -> None:
        self.lab, self._oracle, self._slots = lab, oracle, slots

    def tell(self, name: str, *words: str | int | float, within_s: float = TELL_WITHIN_S) -> Reply:
        """Raises NotNow when the node refuses, or says nothing."""
        node = self.lab.node(name)
        try:
            with Wire(node.host, node.port, within_s) as wire:
                reply = wire.call(*words)
        except Mute as error:
            raise NotNow(f"{name} gave no answer to {' '.join(map(str, words))}: {error}") from error
        if isinstance(reply, Err):
            raise NotNow(f"{name} refused {' '.join(map(str, words))}: {reply.text}")
        return reply

    def look(self) -> Truth:
        return self._oracle.look(serve=False)

    def words(self) -> list[Word]:
        """What those say who answer, by name."""
        return sorted(self.look().heard, key=lambda word: word.name)

    def until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        try:
            poll(condition, bool, deadline=Deadline.after(within_s), every_s=0.05, waiting_for=what)
        except OutOfTime as error:
            raise NotNow(error.message) from error

    def introduce(self, name: str) -> str:
        """Let the one who knows most nodes meet it, and wait until it knows them too."""
        node = self.lab.node(name)
        others = [word for word in self.words() if word.name != name and len(word.lines) > 1]
        if not others:
            raise NotNow("nobody is there to introduce it")
        teller = max(others, key=lambda word: (len(word.lines), word.name))
        known = set(teller.lines) | {name}
        self.tell(teller.name, "CLUSTER", "MEET", node.host, node.port)
        self.until(lambda: known <= self._listed_by(name), _MEET_WITHIN_S, f"{name} to know the others")
        return f"{teller.name} met {name}"

    def _listed_by(self, name: str) -> set[str]:
        word = self.look().words[name]
        return set(word.lines) if isinstance(word, Word) else set()

    def join(self, name: str) -> str:
        """Let it follow the primary with the fewest replicas."""
        truth = self.look()
        word = truth.words[name]
        if not isinstance(word, Word) or word.own is None or word.own.slots:
            return "it owns slots by now"
        taken = [each.own.primary for each in truth.heard if each.own and each.role == "slave" and each.name != name]
        owners = [each.name for each in truth.heard if each.own and each.own.slots and each.name in word.lines]
        if not owners:
            raise NotNow("no slot owner is known to it")
        primary = min(owners, key=lambda each: (taken.count(each), each))
        if word.own.primary != primary:
            self.tell(name, "CLUSTER", "REPLICATE", self.lab.node(primary).node_id)
        return f"{name} follows {primary}"

    def assign(self, slot: int) -> str:
        """Let every primary give the slot to one owner: who claims it, else the owner of its neighbours."""
        words = [word for word in self.words() if word.own and word.role == "master"]
        claims = [word for word in words if word.own and word.own.owns(slot)]
        near = [word for word in words if word.own and (word.own.owns(slot - 1) or word.own.owns(slot + 1))]
        if not (claims or near):
            raise NotNow(f"nobody can own slot {slot}")
        owner = max(claims or near, key=lambda word: (word.own.epoch if word.own else 0, word.name)).name
        owner_id = self.lab.node(owner).node_id
        if not claims:
            self.tell(owner, "CLUSTER", "SETSLOT", slot, "NODE", owner_id)
            self.tell(owner, "CLUSTER", "BUMPEPOCH")
        for word in words:
            if word.name != owner and owner in word.lines:
                self.tell(word.name, "CLUSTER", "SETSLOT", slot, "NODE", owner_id)
        return f"{owner} owns slot {slot}"

    def close(self, slot: int) -> str:
        """Close an open slot on every primary."""
        for word in self.words():
            if word.own and str(slot) in word.own.open and word.role == "master":
                self.tell(word.name, "CLUSTER", "SETSLOT", slot, "STABLE")
        return f"slot {slot} is closed"

    def sweep(self) -> Iterator[str]:
        """Mend what can be seen to be wrong in the tables."""
        truth = self.look()
        for kind, *who in sorted(facts(truth)):
            with suppress(NotNow, RcfailError):
                if kind == "gone":  # a server can end by itself, such as one that cannot load its file
                    yield self.lab.restart(who[0]).effect
                elif kind == "open":
                    yield self.close(int(who[1]))
                elif kind == "stranger":
                    yield self.introduce(who[1])
        heard = list(truth.heard)
        for slot in self._slots:
            holders = [line.name for word in heard for line in word.lines.values() if line.owns(slot)]
            if len(set(holders)) != 1 or len(holders) != len(heard):
                with suppress(NotNow):
                    yield self.assign(slot)
        for word in heard:
            if word.own and word.role == "master" and not word.own.slots:
                with suppress(NotNow):
                    yield self.join(word.name)
        yield from self._spread()
        yield from self._forget_the_nameless()

    def _forget_the_nameless(self) -> Iterator[str]:
        """Who came back under a new id stays listed under the old one, without an address, until it is forgotten."""
        ours = {str(node.node_id) for node in self.lab.nodes}
        for word in self.words():
            with suppress(NotNow):
                for row in str(self.tell(word.name, "CLUSTER", "NODES")).splitlines():
                    node_id, _, flags, *_ = row.split(" ")
                    if node_id not in ours and "noaddr" in flags:
                        self.tell(word.name, "CLUSTER", "FORGET", node_id)
                        yield f"{word.name} forgets {node_id}, which has no address"

    def _spread(self) -> Iterator[str]:
        """Give a shard without a replica one of a shard that has two."""
        followers: dict[str, list[str]] = {}
        words = self.words()
        for word in words:
            if word.own and word.role == "slave":
                followers.setdefault(word.own.primary, []).append(word.name)
        spare = [name for names in followers.values() for name in names[1:]]
        lonely = [word.name for word in words if word.own and word.own.slots and word.name not in followers]
        for name, primary in zip(spare, lonely, strict=False):
            with suppress(NotNow):
                self.tell(name, "CLUSTER", "REPLICATE", self.lab.node(primary).node_id)
                yield f"{name} follows {primary}"

"""One client of one shard, as well-made cluster clients are: one connection, redirections followed, nothing repeated.

It speaks to members of the shard alone. Each connection begins with the node's identity, so a stranger that answers
at a member's address gets nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Address, Endpoint, NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Snapshot
from rcfail.wire.conversation import Conversation
from rcfail.wire.door import Door
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply

# How long a member is let alone that could not be met: nobody listening costs nothing, a frozen one the time of all.
_SLOW_S = 0.1
_AWAY_S = 0.1
_LONG_AWAY_S = 2.0

_LATE = frozenset({SilenceReason.FROZEN, SilenceReason.TOO_SLOW, SilenceReason.NO_TIME, SilenceReason.CONNECT_TIMEOUT})
_ELSEWHERE = frozenset({RefusalKind.CLUSTER_DOWN, RefusalKind.LOADING, RefusalKind.MASTER_DOWN})


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes of one shard: where each is reached, and the addresses by which the servers name it."""

    places: Mapping[NodeId, Endpoint]
    announced: Mapping[Endpoint, NodeId]

    def named(self, text: str, by: NodeId) -> NodeId | None:
        """Whom the address in a redirection means; None where that is no member.

        A server that knows no name or address for a node leaves the host away, or writes "?": then it is the host of
        the one that answered (clusterRedirectClient, cluster.c).
        """
        host, _, port = text.rpartition(":")
        number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
        if host in ("", "?"):
            own = next((place.host for place, node_id in self.announced.items() if node_id == by), "")
            return self.announced.get(Endpoint(own, number))
        return self.announced.get(Endpoint(host.lower(), number))


def members_of(snapshot: Snapshot, primary: NodeId) -> Members:
    """The primary and its replicas, as far as anybody lists an address of theirs."""
    shard = snapshot.shard_of(primary)
    ids = (primary, *(each for each in (shard.replica_ids if shard else ()) if each != primary))
    places: dict[NodeId, Endpoint] = {}
    announced: dict[Endpoint, NodeId] = {}
    for node in (snapshot.nodes[each] for each in ids if each in snapshot.nodes):
        if node.endpoint is not None:
            places[node.node_id] = node.endpoint
            for place in _names_of(node.address):
                announced.setdefault(place, node.node_id)
    return Members(places, announced)


def _names_of(address: Address) -> Iterable[Endpoint]:
    return (Endpoint(host.lower(), address.port) for host in (address.host, address.hostname) if host)


class Client:
    """For one thread. Nothing raises: what goes wrong is a Refusal, and counted by its kind.

    It waits as long as the door does: `connect_s` to connect and as long again to hear who is there, which a paused
    primary tells too; `read_s` for an answer, and no longer than many clients do.
    """

    def __init__(self, door: Door, members: Members, at: NodeId) -> None:
        self._door = door.apart()
        self._clock = door.clock
        self._meet_s = door.bounds.connect_s
        self._answer_s = door.bounds.read_s
        self._members = members
        self._ring = tuple(members.places)
        self._away: dict[NodeId, float] = {}
        self._conversation: Conversation | None = None
        self.at = at
        self.kinds: Counter[str] = Counter()

    def read(self, commands: Sequence[Command]) -> tuple[Reply, ...]:
        """Ask in one write whoever serves the shard."""
        return self._exchange(lambda conversation: conversation.read(commands), len(commands))[0]

    def change(self, command: Command) -> tuple[Reply, bool]:
        """Send one command once. The second value is whether it left: without an answer it may have been done."""
        replies, left = self._exchange(lambda conversation: conversation.change([command]), 1)
        return replies[0], left

    @property
    def longest_s(self) -> float:
        """No exchange lasts longer: a connection, who is there, and an answer."""
        return 2 * self._meet_s + self._answer_s

    def close(self) -> None:
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None

    def _exchange(
        self, send: Callable[[Conversation], tuple[Reply, ...]], count: int
    ) -> tuple[tuple[Reply, ...], bool]:
        met = self._met()
        if isinstance(met, Refusal):
            self.kinds[kind_of(met)] += 1
            return (met,) * count, False
        # The bound of the answer itself is the shorter one, so that a late answer is not put down to our own deadline.
        met.go_on(Deadline.after(2 * self._answer_s, self._clock))
        replies = send(met)
        refused = next((each for each in replies if isinstance(each, Refusal)), None)
        if refused is not None:
            self.kinds[kind_of(refused)] += 1
            self._learn(refused)
        return replies, True

    def _met(self) -> Conversation | Refusal:
        """The connection that stands, or a new one to whom it knows best."""
        if self._conversation is not None:
            return self._conversation
        began_s = self._clock.monotonic_s()
        place = self._members.places.get(self.at)
        if place is None:
            return Refusal(RefusalKind.NO_ANSWER, "nobody lists an address", SilenceReason.NO_ADDRESS)
        conversation = self._door.open(place, deadline=Deadline.after(2 * self._meet_s, self._clock))
        said = conversation.read([("CLUSTER", "MYID")], deadline=Deadline.after(self._meet_s, self._clock))[0]
        if said == self.at:
            self._conversation = conversation
            return conversation
        conversation.close()
        self._leave(slow=self._clock.monotonic_s() - began_s > _SLOW_S)
        return said if isinstance(said, Refusal) else Refusal(RefusalKind.WRONG_NODE, f"another node is at {place}")

    def _learn(self, refused: Refusal) -> None:
        words = refused.text.split()
        if words[:1] == ["MOVED"] and len(words) == 3:
            owner = self._members.named(words[2], self.at)
            if owner is None:
                self._leave(slow=False)  # one of the others may be the owner under a name that is not known here
            elif owner != self.at and not self._is_away(owner):
                self.close()
                self.at = owner
        elif refused.kind is RefusalKind.NO_ANSWER:
            self.close()  # the same member is met again first: it may only be paused
        elif refused.kind in _ELSEWHERE:
            self._leave(slow=False)

    def _leave(self, *, slow: bool) -> None:
        """Let this member alone for a while, and turn to the next one."""
        self.close()
        self._away[self.at] = self._clock.monotonic_s() + (_LONG_AWAY_S if slow else _AWAY_S)
        if self.at not in self._ring:
            return
        here = self._ring.index(self.at)
        others = (*self._ring[here + 1 :], *self._ring[:here])
        self.at = next((each for each in others if not self._is_away(each)), self.at)

    def _is_away(self, node_id: NodeId) -> bool:
        return self._away.get(node_id, 0.0) > self._clock.monotonic_s()


def kind_of(refused: Refusal) -> str:
    """One word for what was no success: the server's own error code, or how no answer came."""
    if refused.kind is RefusalKind.NO_ANSWER:
        reason = refused.silence or SilenceReason.CLOSED
        return "timeout" if reason in _LATE else reason.value
    code = refused.text.split(" ", 1)[0]
    if not (code.isascii() and code.isupper() and code.isalpha() and len(code) <= 20):
        return "ERR" if refused.kind is RefusalKind.ERROR else refused.kind.value
    return code if code != "ERR" or refused.kind is RefusalKind.ERROR else refused.kind.value

"""How findings name things: counts, nodes, slots, times and commands, the same in every rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rcfail.cluster.nouns import Endpoint, NodeId, Role, SlotRange
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.health.standing import flagged_by, knowing


def counted(number: int, noun: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(words: Iterable[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b, c and 4 more`."""
    said = list(words)
    if len(said) > most:
        return f"{', '.join(said[:most])} and {len(said) - most} more"
    return " and ".join((", ".join(said[:-1]), said[-1])) if len(said) > 1 else "".join(said)


def called(node: Node) -> str:
    """A node in a sentence: its address and short id, or the id alone where nobody lists an address."""
    return node.label


def named(snapshot: Snapshot, ids: Iterable[NodeId], most: int = 3) -> str:
    """The nodes of these ids in a sentence, by address, then id."""
    nodes = (snapshot.nodes.get(each) for each in ids)
    labels = [called(node) for node in nodes if node is not None]
    return listing(sorted(labels), most)


def slots_text(ranges: Sequence[SlotRange], most: int = 4) -> str:
    """`5461 slots (0-5460)`, `3 slots (7, 9, 12)`; long lists are cut and counted."""
    total = sum(last - first + 1 for first, last in ranges)
    pieces = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    if len(pieces) > most:
        pieces = [*pieces[:most], f"and {len(pieces) - most} more ranges"]
    return f"{counted(total, 'slot')} ({', '.join(pieces)})"


def duration(milliseconds: float) -> str:
    """`0.4 s`, `12 s`, `7 min`, `3 h`, `2 days`: as exact as a reader needs it."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def size(count: int) -> str:
    """Bytes as people read them: `0 B`, `1.5 KB`, `12 MB`."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(amount) < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 10 else f"{amount:.1f} {unit}"


def redis_cli(endpoint: Endpoint | None, *words: str) -> str:
    """A redis-cli command for one node, safe to paste: the address was sent by a server, so it is quoted."""
    import shlex  # only where something is wrong

    place = ("-h", endpoint.host, "-p", str(endpoint.port)) if endpoint else ("-h", "HOST", "-p", "PORT")
    return shlex.join(("redis-cli", *place, *words))


def rcfail(verb: str, endpoint: Endpoint | None, *words: str) -> str:
    """An rcfail command with a seed, safe to paste."""
    import shlex

    return shlex.join(("rcfail", verb, *words, *(("-s", str(endpoint)) if endpoint else ())))


def host_and_port(node: Node) -> tuple[str, str]:
    """The node's address as two words of a command, or placeholders where there is none."""
    return (node.endpoint.host, str(node.endpoint.port)) if node.endpoint else ("HOST", "PORT")


def answering(snapshot: Snapshot, without: NodeId | None = None) -> Endpoint | None:
    """A node that answers and is not the one named: where the next command can be typed. One that knows no other node
    is taken only where there is no better one: it knows nothing of the cluster.
    """
    places = [view for view in snapshot.views if view.reply is not None and view.observer != without]
    best = next((view for view in places if view.reply and len(view.reply.table.by_id) > 1), None)
    return best.endpoint if best else next((view.endpoint for view in places), None)


def who(snapshot: Snapshot, node: Node) -> str:
    """`127.0.0.1:7003 (aaaa1111), replica of 127.0.0.1:7000 (bbbb2222)`."""
    if node.slots:
        return f"{called(node)}, owner of {slots_text(node.slots)}"
    primary = snapshot.node(node.primary_id)
    if node.role is Role.REPLICA and primary is not None:
        return f"{called(node)}, replica of {called(primary)}"
    return f"{called(node)}, {'a primary' if node.role is Role.PRIMARY else 'a node'} without slots"


def tally(snapshot: Snapshot, node: Node) -> str:
    """How many of the others say what."""
    others = knowing(snapshot, node)
    if not others:
        return "no other node gave a view that lists it"
    if not flagged_by(node):
        return f"none of {counted(others, 'other node')} suspects it"
    said = []
    if node.failed_by:
        said.append(f"{len(node.failed_by)} of {counted(others, 'other node')} say fail")
    if node.suspected_by:
        said.append(f"{len(node.suspected_by)} of {counted(others, 'other node')} suspect it")
    return " and ".join(said)


def loss(snapshot: Snapshot, node: Node) -> str:
    """What the cluster lacks while this node serves nobody: a sentence without its full stop."""
    if node.slots:
        return f"Reads and writes of {slots_text(node.slots)} fail until it is back or a replica takes over"
    shard = snapshot.shard_of(node.node_id)
    if shard is None or node.node_id == shard.primary_id:
        return "It serves nothing, so no slot is lost with it"
    primary = snapshot.nodes[shard.primary_id]
    return f"The shard of {called(primary)} has one copy of its data less"

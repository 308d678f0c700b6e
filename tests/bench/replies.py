"""The simulated node's answers as bytes on the wire, in RESP2 or RESP3."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.bench.population import CONFIG, Node, Texts

Pieces = tuple[bytes, ...]
Value = str | int | Sequence["Value"] | Mapping[str, "Value"] | None

CRLF = b"\r\n"
OK = b"+OK\r\n"


def encode(value: Value, protocol: int) -> bytes:
    """A value as the server writes it: a mapping is a map in RESP3 and a flat array in RESP2."""
    if value is None:
        return b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, str):
        raw = value.encode()
        return b"$%d\r\n%b\r\n" % (len(raw), raw)
    if isinstance(value, Mapping):
        items: list[Value] = [part for pair in value.items() for part in pair]
        head = b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(items)
        return head + b"".join(encode(item, protocol) for item in items)
    return b"*%d\r\n" % len(value) + b"".join(encode(item, protocol) for item in value)


def text(raw: bytes, protocol: int) -> Pieces:
    """A text reply such as CLUSTER NODES: a verbatim string in RESP3. The text itself is not copied."""
    if protocol == 3:
        return b"=%d\r\ntxt:" % (len(raw) + 4), raw, CRLF
    return b"$%d\r\n" % len(raw), raw, CRLF


def error(message: str) -> Pieces:
    return (f"-{message}\r\n".encode(),)


def read_commands(data: bytes) -> tuple[list[list[bytes]], int]:
    """All whole commands at the start of `data`, and how many bytes they took. Arrays and inline lines."""
    commands: list[list[bytes]] = []
    used = 0
    while used < len(data):
        end = data.find(CRLF, used)
        if end < 0:
            break
        if data[used : used + 1] != b"*":
            words = data[used:end].split()
            used = end + 2
            if words:
                commands.append(words)
            continue
        words, at = [], end + 2
        for _ in range(int(data[used + 1 : end])):
            length_end = data.find(CRLF, at)
            if length_end < 0:
                return commands, used
            length = int(data[at + 1 : length_end])
            at = length_end + 2 + length + 2
            if at > len(data):
                return commands, used
            words.append(data[length_end + 2 : at - 2])
        used = at
        commands.append(words)
    return commands, used


class Answers:
    """Finds the reply of each node to each command. What is large is made once and shared."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._nodes = texts.nodes
        self._cache: dict[tuple[int, int, tuple[bytes, ...]], Pieces] = {}
        self._fixed: dict[str, Callable[[int, list[str], int], Value]] = {
            "DBSIZE": lambda index, _words, _protocol: self._nodes[index].keys,
            "TIME": lambda _index, _words, _protocol: [str(self._texts.now_ms // 1000), "0"],
            "COMMAND": lambda _index, _words, _protocol: [],
            "ROLE": lambda index, _words, _protocol: self._role(index),
            "ACL LIST": lambda _index, _words, _protocol: ["user default on nopass sanitize-payload ~* &* +@all"],
            "CONFIG GET": lambda _index, words, _protocol: matching(words[2:]),
            "CLUSTER MYID": lambda index, _words, _protocol: self._nodes[index].node_id,
            "CLUSTER MYSHARDID": lambda index, _words, _protocol: f"{self._nodes[index].epoch:040x}",
            "CLUSTER COUNTKEYSINSLOT": lambda _index, _words, _protocol: 0,
            "CLUSTER COUNT-FAILURE-REPORTS": lambda _index, _words, _protocol: 0,
            "CLUSTER GETKEYSINSLOT": lambda _index, _words, _protocol: [],
            "CLUSTER SLOTS": lambda _index, _words, _protocol: self._slots(),
            "CLUSTER SHARDS": lambda _index, _words, _protocol: self._shards(),
            "CLUSTER LINKS": lambda index, _words, _protocol: list(self._links(index)),
            "HELLO": lambda index, _words, protocol: hello(index, protocol),
            "CLIENT ID": lambda index, _words, _protocol: 3 + index,
        }

    def reply(self, index: int, words: Sequence[bytes], protocol: int) -> Pieces:
        """The bytes that node `index` sends for one command."""
        key = (index, protocol, tuple(words))
        known = self._cache.get(key)
        if known is None:
            known = self._make(index, [word.decode("utf-8", "replace") for word in words], protocol)
            # All nodes' CLUSTER LINKS would take twice the memory of all views, so they are made anew each time.
            if b"LINKS" not in (word.upper() for word in words):
                self._cache[key] = known
        return known

    def _make(self, index: int, words: list[str], protocol: int) -> Pieces:
        verb = words[0].upper()
        name = " ".join(words[:2]).upper() if verb in {"ACL", "CLUSTER", "CONFIG", "CLIENT"} else verb
        if name == "CLUSTER NODES":
            return text(self._texts.views[index], protocol)
        if name == "CLUSTER INFO":
            return text(self._texts.cluster_info(index), protocol)
        if name == "INFO":
            return text(self._texts.info(index, frozenset(word.lower() for word in words[1:])), protocol)
        if name == "PING":
            return (b"+PONG\r\n",) if len(words) == 1 else (encode(words[1], protocol),)
        if name in {"SELECT", "READONLY", "READWRITE", "CLIENT SETNAME", "CLIENT SETINFO", "CLIENT NO-EVICT", "QUIT"}:
            return (OK,)
        if name == "AUTH":
            return error(
                "ERR AUTH <password> called without any password configured for the default user. "
                "Are you sure your configuration is correct?"
            )
        make = self._fixed.get(name)
        if make is not None:
            return (encode(make(index, words, protocol), protocol),)
        if verb in {"CLUSTER", "CONFIG", "CLIENT"}:
            return error(f"ERR unknown subcommand '{words[1] if len(words) > 1 else ''}'. Try {verb} HELP.")
        return error(f"ERR unknown command '{words[0]}', with args beginning with: ")

    def _role(self, index: int) -> Value:
        node = self._nodes[index]
        if node.primary is None:
            replica = self._replica_of(node)
            return ["master", node.offset, [[replica.host, str(replica.port), str(node.offset)]]]
        primary = self._nodes[node.primary]
        return ["slave", primary.host, primary.port, "connected", node.offset]

    def _replica_of(self, node: Node) -> Node:
        return self._nodes[node.index + len(self._nodes) // 2]

    def _primaries(self) -> Iterable[tuple[Node, tuple[int, int]]]:
        return ((node, node.slots) for node in self._nodes if node.slots is not None)

    def _slots(self) -> Value:
        def place(node: Node) -> Value:
            return [node.host, node.port, node.node_id, []]

        return [[*slots, place(node), place(self._replica_of(node))] for node, slots in self._primaries()]

    def _shards(self) -> Value:
        def entry(node: Node) -> Value:
            return {
                "id": node.node_id,
                "port": node.port,
                "ip": node.host,
                "endpoint": node.host,
                "role": "master" if node.primary is None else "replica",
                "replication-offset": node.offset,
                "health": "online",
            }

        return [
            {"slots": list(slots), "nodes": [entry(node), entry(self._replica_of(node))]}
            for node, slots in self._primaries()
        ]

    def _links(self, index: int) -> Iterable[Value]:
        for peer in self._nodes:
            if peer.index == index:
                continue
            for direction in ("to", "from"):
                yield {
                    "direction": direction,
                    "node": peer.node_id,
                    "create-time": self._texts.now_ms - 864_000_000,
                    "events": "r",
                    "send-buffer-allocated": 48,
                    "send-buffer-used": 48,
                }


def matching(patterns: Sequence[str]) -> dict[str, Value]:
    """CONFIG GET: the parameters that any of the patterns names."""
    lowered = [pattern.lower() for pattern in patterns]
    return {name: value for name, value in CONFIG.items() if any(fnmatch.fnmatch(name, each) for each in lowered)}


def hello(index: int, protocol: int) -> Value:
    return {
        "server": "redis",
        "version": "8.2.3",
        "proto": protocol,
        "id": 3 + index,
        "mode": "cluster",
        "role": "master",
        "modules": [],
    }

"""Settings that should be the same on all nodes, and are not: what a failover would change without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rcfail.cluster.dialect import configures_several_at_once
from rcfail.cluster.logins import AclUser, differing
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Severity, Thresholds, of_node
from rcfail.health.wording import counted, listing, named, redis_cli

_LONGEST_VALUE = 60
_MOST_TOLD = 4
_MOST_VALUES = 3

_Read = Callable[[View], str | None]


@dataclass(frozen=True, slots=True)
class _Setting:
    """One setting that belongs to the cluster and not to a node. `read` gives None where the node did not say it."""

    name: str
    read: _Read
    means: str


def _configured(name: str) -> _Read:
    return lambda view: None if view.settings is None else view.settings.get(name)


def _appendonly(view: View) -> str | None:
    enabled = view.vitals.storage.aof_enabled
    return None if enabled is None else ("yes" if enabled else "no")


def _whole(number: int | None) -> str | None:
    return None if number is None else str(number)


_DETECTION = "Nodes notice a failure at different times, so votes come late or not at all"
_STATE = "When something fails, some nodes go on serving and others refuse"
_ELECTION = "Whether a replica stands for election, and when, depends on which one it is"
_MOVES = "Replicas move to other shards by rules that differ from node to node"
_ENDPOINT = "Clients are sent to other names or addresses, depending on whom they ask"
_SAFETY = "How many copies a write needs changes with each failover"
_MEMORY = "After a failover the shard evicts, or refuses writes, at another size"
_EVICTION = "After a failover a full shard evicts other keys than now, or refuses writes where it evicted"
_DISK = "What survives a crash changes with each failover"
_BACKLOG = "After a failover a short absence costs a full copy sooner than now"
_CLIENTS = "Clients of a shard meet other rules after a failover"


def _cluster(name: str, means: str) -> _Setting:
    return _Setting(name, _configured(name), means)


# The order is that of the report: first what decides whether failover works, then what clients feel after it. Settings
# that belong to one node are not here: addresses, ports, paths, credentials, cluster-replica-no-failover.
_SETTINGS = (
    _cluster("cluster-node-timeout", _DETECTION),
    _cluster("cluster-require-full-coverage", _STATE),
    _cluster("cluster-allow-reads-when-down", _STATE),
    _cluster("cluster-allow-pubsubshard-when-down", _STATE),
    _cluster("cluster-replica-validity-factor", _ELECTION),
    _cluster("cluster-manual-failover-timeout", _ELECTION),
    _cluster("cluster-allow-replica-migration", _MOVES),
    _cluster("cluster-migration-barrier", _MOVES),
    _cluster("cluster-preferred-endpoint-type", _ENDPOINT),
    _cluster("min-replicas-to-write", _SAFETY),
    _cluster("min-replicas-max-lag", _SAFETY),
    _Setting("maxmemory", lambda view: _whole(view.vitals.storage.maxmemory), _MEMORY),
    _Setting("maxmemory-policy", lambda view: view.vitals.storage.maxmemory_policy or None, _EVICTION),
    _Setting("appendonly", _appendonly, _DISK),
    _cluster("appendfsync", _DISK),
    _cluster("save", _DISK),
    _cluster("stop-writes-on-bgsave-error", _DISK),
    _Setting("repl-backlog-size", lambda view: _whole(view.vitals.replication.backlog_size), _BACKLOG),
    _cluster("repl-timeout", _ELECTION),
    _cluster("repl-ping-replica-period", _ELECTION),
    _Setting("maxclients", lambda view: _whole(view.vitals.server.maxclients), _CLIENTS),
    _cluster("timeout", _CLIENTS),
    _cluster("tcp-keepalive", _CLIENTS),
    _cluster("notify-keyspace-events", _CLIENTS),
)
_DEFAULT_BY_VERSION = frozenset({"repl-backlog-size"})
"""1 MB by default on Redis, 10 MB from Valkey 8.0 on (config.c): while versions are mixed that is nobody's mistake."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """One setting and who has which value. `usual` is what most nodes have, None where no value is in the lead."""

    setting: _Setting
    holders: Mapping[str, tuple[NodeId, ...]]
    usual: str | None

    @property
    def odd(self) -> frozenset[NodeId]:
        """The nodes that differ from most; all of them where none does."""
        return frozenset(each for value, ids in self.holders.items() if value != self.usual for each in ids)

    @property
    def told(self) -> str:
        parts = [
            f"{'(empty)' if not value else _cut(value)} on {counted(len(ids), 'node')}"
            for value, ids in sorted(self.holders.items(), key=lambda item: (item[0] == self.usual, -len(item[1])))
        ]
        return f"{self.setting.name} is {listing(parts, _MOST_VALUES)}"


def config_drift(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Settings of the cluster that some nodes have differently, one finding for all that the same nodes differ in.

    Needs INFO and CONFIG GET; a node that did not say a setting is left out of its comparison, and the missing reply
    has a finding of its own.
    """
    together: dict[frozenset[NodeId], list[_Difference]] = {}
    for setting in _SETTINGS:
        if (found := _compare(snapshot, setting)) is not None:
            together.setdefault(found.odd, []).append(found)
    for odd, differences in together.items():
        yield _finding(snapshot, odd, differences)


def _compare(snapshot: Snapshot, setting: _Setting) -> _Difference | None:
    values = {setting.read(view) for view in snapshot.by_observer.values()}
    if len(values - {None}) < 2:
        return None
    said: dict[str, list[NodeId]] = {}
    kinds = set()
    for node_id, view in snapshot.by_observer.items():
        if (value := setting.read(view)) is not None and not _told_elsewhere(snapshot, node_id, setting):
            said.setdefault(value, []).append(node_id)
            kinds.add((view.vitals.server.flavour, view.vitals.server.version[:2]))
    if len(said) < 2 or (setting.name in _DEFAULT_BY_VERSION and len(kinds) > 1):
        return None
    (first, most), (_, next_most) = Counter({value: len(ids) for value, ids in said.items()}).most_common(2)
    usual = first if most > next_most else None
    return _Difference(setting, {value: tuple(sorted(ids)) for value, ids in said.items()}, usual)


def _told_elsewhere(snapshot: Snapshot, node_id: NodeId, setting: _Setting) -> bool:
    """A replica with less memory than its primary is failover-unprepared."""
    node = snapshot.node(node_id)
    return setting.name == "maxmemory" and node is not None and has_less_memory(snapshot, node)


def has_less_memory(snapshot: Snapshot, replica: Node) -> bool:
    """Whether its primary may hold more than this replica will be allowed to once it is promoted; 0 is no limit."""
    primary = snapshot.node(replica.primary_id) if replica.role is Role.REPLICA else None
    if primary is None or primary.vitals is None or replica.vitals is None:
        return False
    allowed, needed = replica.vitals.storage.maxmemory, primary.vitals.storage.maxmemory
    return bool(allowed) and needed is not None and (needed == 0 or (allowed or 0) < needed)


def _finding(snapshot: Snapshot, odd: frozenset[NodeId], differences: list[_Difference]) -> Finding:
    first = differences[0]
    node = snapshot.nodes[min(odd)]
    clear = first.usual is not None
    names = f"{named(snapshot, odd)} differ{'s' if len(odd) == 1 else ''} from the others: " if clear else ""
    told = [each.told for each in differences]
    more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return Finding(
        "config-drift",
        Severity.WARNING,
        of_node(node) if len(odd) == 1 else CLUSTER,
        f"{names}{'; '.join(told[:_MOST_TOLD])}{more}",
        f"{first.setting.means}.",
        _hint(snapshot, node, differences),
    )


def _hint(snapshot: Snapshot, node: Node, differences: list[_Difference]) -> str:
    """What makes the node as the others are: all of it in one command where the server takes that."""
    wanted = [(each.setting.name, each.usual) for each in differences if each.usual is not None]
    if not wanted:
        name = differences[0].setting.name
        return f"Decide for one, and see who has which: {_on_all(snapshot, name)}"
    several = node.vitals is not None and configures_several_at_once(node.vitals.server)
    words = [word for name, value in (wanted if several else wanted[:1]) for word in (name, value or "")]
    return "If the others are right, set it there too, and in its redis.conf: " + redis_cli(
        node.endpoint, "CONFIG", "SET", *words
    )


def _on_all(snapshot: Snapshot, name: str) -> str:
    import shlex

    place = next((str(view.endpoint) for view in snapshot.views), "HOST:PORT")
    return shlex.join(("redis-cli", "--cluster", "call", place, "CONFIG", "GET", name))


def _cut(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def users_drift(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Primaries whose ACL users are not those of most primaries. Between a primary and its replicas it is
    failover-unprepared. Needs ACL LIST, and primaries of one version: each version writes rules in its own words.
    """
    said: dict[tuple[AclUser, ...], list[NodeId]] = {}
    kinds = set()
    for shard in snapshot.shards:
        view = snapshot.nodes[shard.primary_id].view if shard.slots else None
        if view is not None and view.users is not None:
            said.setdefault(tuple(sorted(view.users, key=lambda user: user.name)), []).append(shard.primary_id)
            kinds.add((view.vitals.server.flavour, view.vitals.server.version[:2]))
    if len(said) < 2 or len(kinds) > 1:
        return
    usual = max(said, key=lambda users: (len(said[users]), -len(users), min(said[users])))
    for users, ids in said.items():
        if users is not usual:
            yield _users_finding(snapshot, ids, said[usual], differing(usual, users, rules=True))


def _users_finding(
    snapshot: Snapshot, odd: list[NodeId], usual: list[NodeId], found: tuple[tuple[str, str], ...]
) -> Finding:
    node = snapshot.nodes[min(odd)]
    told = listing((f"{name} {how}" for name, how in found), _MOST_TOLD)
    return Finding(
        "config-drift",
        Severity.WARNING,
        of_node(node) if len(odd) == 1 else CLUSTER,
        f"ACL users of {named(snapshot, odd)} are not those of {named(snapshot, usual)}: {told}",
        "A client is let in on some shards and refused on others.",
        "Users are not copied between nodes; compare them as an administrator: "
        + redis_cli(node.endpoint, "ACL", "LIST"),
    )

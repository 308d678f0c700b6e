"""What kind of cluster is asked for, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import SLOT_COUNT, SlotRange
from rcfail.errors import UsageFault
from rcfail.practice.lab.access import PLAIN, Access
from rcfail.practice.lab.addresses import BUS_PORT_DISTANCE, LAST_BUS_PORT, LOWEST_PORT, OCTETS

MOST_NODES = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_MOST_HOSTS = 254
_SHORTEST_TIMEOUT_MS = 100
_LONGEST_TIMEOUT_MS = 3_600_000

# What makes the node a node of this lab: a line of the user's own would break it apart from its register entry.
OWNED_OPTIONS = frozenset(
    {
        "bind",
        "bind-source-addr",
        "cluster-announce-bus-port",
        "cluster-announce-ip",
        "cluster-announce-port",
        "cluster-config-file",
        "cluster-enabled",
        "cluster-node-timeout",
        "cluster-port",
        "daemonize",
        "dir",
        "include",
        "logfile",
        "pidfile",
        "port",
        "supervised",
    }
)


class Persistence(StrEnum):
    NONE = "none"
    RDB = "rdb"
    AOF = "aof"


@dataclass(frozen=True, slots=True)
class Wish:
    """A cluster that somebody wants. None means that the lab chooses.

    `conf` holds further lines of redis.conf, "name value". `octets` are the address groups to choose from.
    Raises UsageFault when it cannot be had.
    """

    name: str = "default"
    primaries: int = 3
    replicas: int = 1
    hosts: int | None = None
    zones: int | None = None
    node_timeout_ms: int = 2000
    base_port: int | None = None
    persistence: Persistence = Persistence.NONE
    server: str | None = None
    conf: tuple[str, ...] = ()
    keep: bool = False
    octets: Sequence[int] = OCTETS
    access: Access = PLAIN

    def __post_init__(self) -> None:
        check_name(self.name)
        self._check_sizes()
        self._check_port()
        for line in self.conf:
            _check_conf(line, OWNED_OPTIONS | self.access.owned_options)

    @property
    def node_count(self) -> int:
        return self.primaries * (1 + self.replicas)

    @property
    def port_count(self) -> int:
        """Ports for clients, one block."""
        return self.node_count * (2 if self.access.has_plain_port else 1)

    @property
    def host_count(self) -> int:
        return default_hosts(self.primaries, self.replicas) if self.hosts is None else self.hosts

    @property
    def zone_count(self) -> int:
        return self.host_count if self.zones is None else self.zones

    def _check_sizes(self) -> None:
        _check(self.primaries >= 1, "a cluster needs at least 1 primary", "Pass --primaries 3, for example.")
        _check(self.replicas >= 0, "--replicas cannot be negative", "Pass --replicas 1, for example.")
        _check(self.node_count <= MOST_NODES, f"{self.node_count} nodes are more than {MOST_NODES}", "Ask for fewer.")
        _check(1 <= self.host_count <= _MOST_HOSTS, f"--hosts must be 1 to {_MOST_HOSTS}", "Pass --hosts 3.")
        _check(
            1 <= self.zone_count <= self.host_count,
            f"--zones must be 1 to {self.host_count}, the number of hosts",
            "Each zone holds at least one host.",
        )
        _check(
            _SHORTEST_TIMEOUT_MS <= self.node_timeout_ms <= _LONGEST_TIMEOUT_MS,
            f"--node-timeout must be {_SHORTEST_TIMEOUT_MS} to {_LONGEST_TIMEOUT_MS} ms",
            "A practice cluster is quick with 2000; servers come with 15000.",
        )

    def _check_port(self) -> None:
        highest = LAST_BUS_PORT - BUS_PORT_DISTANCE - self.port_count + 1
        _check(
            self.base_port is None or LOWEST_PORT <= self.base_port <= highest,
            f"--base-port must be {LOWEST_PORT} to {highest}",
            f"Bus ports are {BUS_PORT_DISTANCE} above, and the system itself hands out those over {LAST_BUS_PORT}.",
        )


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one node will be: `host` counts from 0, `primary` is its primary's index, None for a primary itself."""

    name: str
    shard: int
    primary: int | None
    host: int
    zone: str


def check_name(name: str) -> None:
    """Raise UsageFault unless the name is fit for a folder and a firewall table."""
    if not _NAME.fullmatch(name):
        raise UsageFault(
            f"{name!r} is no name for a lab", "Use up to 32 small letters, digits and '-', such as: my-lab."
        )


def default_hosts(primaries: int, replicas: int) -> int:
    """The fewest hosts, 3 or more, such that a shard need not share one, and that losing one keeps the quorum.

    With 1 or 2 primaries no number of hosts keeps it.
    """
    fewest = max(3, replicas + 1)
    spare = primaries - (primaries // 2 + 1)
    enough = (hosts for hosts in range(fewest, max(fewest, primaries) + 1) if -(-primaries // hosts) <= spare)
    return next(enough, fewest)


def place(wish: Wish) -> tuple[Spot, ...]:
    """All primaries, then all replicas. Hosts take turns for primaries; a replica goes to the host that its shard
    does not use yet, then to the zone, then to where the fewest nodes are.
    """
    zone_of = [f"zone-{host % wish.zone_count + 1}" for host in range(wish.host_count)]
    load = [0] * wish.host_count
    spots: list[Spot] = []
    for shard in range(wish.primaries):
        host = shard % wish.host_count
        load[host] += 1
        spots.append(Spot(f"n{len(spots) + 1}", shard, None, host, zone_of[host]))
    for _ in range(wish.replicas):
        for shard in range(wish.primaries):
            mine = [spot for spot in spots if spot.shard == shard]
            used = {spot.host for spot in mine}
            zones = {spot.zone for spot in mine}
            first = mine[0].host
            host = min(
                range(wish.host_count),
                key=lambda at: (at in used, zone_of[at] in zones, load[at], (at - first) % wish.host_count),
            )
            load[host] += 1
            spots.append(Spot(f"n{len(spots) + 1}", shard, shard, host, zone_of[host]))
    return tuple(spots)


def slots_of(shard: int, shards: int) -> SlotRange:
    """The slots of one shard, as even as can be, cut where redis-cli cuts: 0-5460, 5461-10922, 10923-16383."""
    first, after = ((2 * SLOT_COUNT * at + shards) // (2 * shards) for at in (shard, shard + 1))
    return first, after - 1


def option_of(line: str) -> str:
    """The name of the option that a line of redis.conf sets."""
    return line.split(maxsplit=1)[0].lower() if line.strip() else ""


def _check_conf(line: str, owned: frozenset[str]) -> None:
    option = option_of(line)
    well_formed = len(line.split(maxsplit=1)) == 2 and "\n" not in line and "\r" not in line and "\0" not in line
    shown = option or "an empty line"
    _check(well_formed, f"--conf needs a name and a value, but got {shown}", "For example: --conf 'maxmemory 10mb'.")
    _check(option not in owned, f"the lab sets {option} itself", "Leave that --conf out.")


def _check(holds: bool, message: str, hint: str) -> None:
    if not holds:
        raise UsageFault(message, hint)

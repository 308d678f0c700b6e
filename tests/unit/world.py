"""A constructed cluster: what real servers would answer, written by hand, for rules and sizes that need no server.

It is no fake server: it makes an Observation, and everything from parsing on is the real code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint, NodeId, SlotRange
from rcfail.cluster.observation import Absence, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.cluster.snapshot import Snapshot

NOW_UNIX_MS = 1_790_000_000_000


def node_id(letter: str) -> NodeId:
    """A readable id: forty times one hex digit, or a word of hex digits padded with zeros."""
    return NodeId(letter * 40 if len(letter) == 1 else letter.ljust(40, "0"))


@dataclass
class Member:
    """One server and what it would say. Every field may be changed by a test before `observe`.

    `listed_flags` are the flags by which others (and itself) list it, without role and `myself`.
    `sees` overrides, by node id, the whole line that this member prints of another; None leaves it out.
    `info` and `config` override single fields of its INFO, CLUSTER INFO and CONFIG GET; None removes one.
    `migrations` is its CLUSTER GETSLOTMIGRATIONS; None where it has no such command.
    """

    node_id: NodeId
    endpoint: Endpoint
    primary: NodeId | None = None
    slots: tuple[SlotRange, ...] = ()
    epoch: int = 1
    flags: tuple[str, ...] = ()
    link: str = "connected"
    ping_sent: int = 0
    pong_received: int = NOW_UNIX_MS - 500
    open_slots: tuple[str, ...] = ()
    sees: dict[NodeId, str | None] = field(default_factory=dict)
    extra_lines: tuple[str, ...] = ()
    info: dict[str, str | None] = field(default_factory=dict)
    cluster_info: dict[str, str | None] = field(default_factory=dict)
    config: dict[str, str | None] = field(default_factory=dict)
    silence: SilenceReason | None = None
    absences: dict[Ask, Absence] = field(default_factory=dict)
    migrations: tuple[dict[str, str], ...] | None = None
    users: tuple[AclUser, ...] | None = None
    login: PrimaryLogin | None = None
    hostname: str = ""

    def line(self, myself: bool = False, **changes: object) -> str:
        """The CLUSTER NODES line of this member; `changes` are other values of its fields."""
        member = replace(self, **changes) if changes else self  # type: ignore[arg-type]
        role = "slave" if member.primary else "master"
        flags = ",".join((("myself",) if myself else ()) + (role,) + member.flags)
        address = f"{member.endpoint.host}:{member.endpoint.port}@{member.endpoint.port + 10000}"
        address += f",{member.hostname}" if member.hostname else ""
        slots = [str(first) if first == last else f"{first}-{last}" for first, last in member.slots]
        fields = [member.node_id, address, flags, member.primary or "-", str(0 if myself else member.ping_sent)]
        fields += [
            str(0 if myself else member.pong_received),
            str(member.epoch),
            "connected" if myself else member.link,
        ]
        return " ".join([*fields, *slots, *(member.open_slots if myself else ())])


class World:
    """Members and what they say of each other. `World.of(3, 1)` is three shards of one replica each, all well."""

    def __init__(self, members: list[Member], version: str = "8.2.3") -> None:
        self.members = {member.node_id: member for member in members}
        self.version = version

    @classmethod
    def of(cls, primaries: int = 3, replicas: int = 1, hosts: int | None = None) -> World:
        """Primaries are a, b, c ..., the replicas of a are a1, a2 ... Host H has address 127.50.H.1."""
        hosts = hosts or primaries
        members: list[Member] = []
        for at in range(primaries):
            letter = "abcdef0123456789"[at] if primaries <= 16 else f"{at:04x}a"
            slots = ((at * 16384 // primaries, (at + 1) * 16384 // primaries - 1),)
            primary = Member(node_id(letter), _endpoint(at, hosts, 0), None, slots, at + 1)
            members.append(primary)
            for nth in range(1, replicas + 1):
                where = _endpoint(at + nth, hosts, nth * 1000 + at)
                members.append(Member(node_id(f"{letter}{nth}"), where, primary.node_id, (), at + 1))
        return cls(members)

    def __getitem__(self, letter: str) -> Member:
        return self.members[node_id(letter)]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def kill(self, letter: str, agreed: bool = True) -> Member:
        """The member is dead; everybody has flagged it `fail` (agreed) or `fail?`."""
        member = self[letter]
        member.silence = SilenceReason.REFUSED
        member.flags += ("fail",) if agreed else ("fail?",)
        member.link, member.ping_sent = "disconnected", NOW_UNIX_MS - 20_000
        for other in self:
            if other.primary == member.node_id:
                down = "20"
                other.info |= {"master_link_status": "down", "master_link_down_since_seconds": down}
                other.info |= {"master_last_io_seconds_ago": "-1"}
        return member

    def nodes_text(self, observer: Member) -> str:
        lines = []
        for member in self:
            line = observer.sees.get(member.node_id, member.line(member is observer))
            if line is not None:
                lines.append(line)
        return "\n".join((*lines, *observer.extra_lines)) + "\n"

    def info_text(self, member: Member) -> str:
        """The section on keys has its title, for an empty database has no line of its own."""
        fields = self._info(member) | member.info
        lines = [f"{name}:{value}\r\n" for name, value in fields.items() if value is not None]
        keys = [line for line in lines if line.startswith("db")]
        return "".join([*(line for line in lines if line not in keys), "# Keyspace\r\n", *keys])

    def _info(self, member: Member) -> dict[str, str | None]:
        valkey = self.version.startswith(("9", "8.1.8"))
        fields: dict[str, str | None] = {"redis_version": "7.2.4" if valkey else self.version}
        if valkey:
            fields |= {"server_name": "valkey", "valkey_version": self.version}
        fields |= {"run_id": member.node_id, "uptime_in_seconds": "5000", "cluster_enabled": "1"}
        fields |= {"server_time_usec": str(NOW_UNIX_MS * 1000), "connected_clients": "3", "maxclients": "10000"}
        fields |= {"used_memory": "2000000", "maxmemory": "0", "maxmemory_policy": "noeviction"}
        fields |= {"loading": "0", "async_loading": "0", "rdb_bgsave_in_progress": "0"}
        fields |= {"rdb_last_bgsave_status": "ok", "aof_enabled": "0", "aof_last_write_status": "ok"}
        fields |= {"sync_full": "1", "sync_partial_ok": "0"}
        top = self.members.get(member.primary or member.node_id, member)
        stream = {"master_replid": top.node_id, "master_replid2": "0" * 40, "master_repl_offset": "5000"}
        stream |= {"second_repl_offset": "-1", "repl_backlog_active": "1", "repl_backlog_size": "1048576"}
        stream |= {"repl_backlog_histlen": "5000"}
        if member.primary:
            fields |= {"role": "slave", "master_host": top.endpoint.host, "master_port": str(top.endpoint.port)}
            fields |= {"master_link_status": "up", "master_last_io_seconds_ago": "1", "master_sync_in_progress": "0"}
            fields |= {"slave_read_repl_offset": "5000", "slave_repl_offset": "5000", "connected_slaves": "0"}
        else:
            below = [other for other in self if other.primary == member.node_id and other.silence is None]
            fields |= {"role": "master", "connected_slaves": str(len(below))}
            for at, other in enumerate(below):
                where = f"ip={other.endpoint.host},port={other.endpoint.port}"
                fields[f"slave{at}"] = f"{where},state=online,offset=5000,lag=0"
        return fields | stream | {"db0": "keys=10,expires=0,avg_ttl=0"}

    def cluster_info_text(self, member: Member) -> str:
        voters = [other for other in self if other.slots]
        lost = [other for other in voters if {"fail", "fail?"} & set(other.flags)]
        failed = sum(last - first + 1 for other in voters if "fail" in other.flags for first, last in other.slots)
        assigned = sum(last - first + 1 for other in voters for first, last in other.slots)
        quorum = len(voters) - len(lost) >= len(voters) // 2 + 1
        state = "ok" if assigned == 16384 and not failed and quorum else "fail"
        fields: dict[str, str | None] = {"cluster_state": state, "cluster_slots_assigned": str(assigned)}
        fields |= {"cluster_slots_ok": str(assigned - failed), "cluster_slots_pfail": "0"}
        fields |= {"cluster_slots_fail": str(failed), "cluster_known_nodes": str(len(self.members))}
        fields |= {"cluster_size": str(len(voters)), "cluster_current_epoch": str(max(m.epoch for m in self))}
        fields |= {"cluster_my_epoch": str(member.epoch)} | member.cluster_info
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items() if value is not None)

    def observe(self) -> Observation:
        """What one round over this cluster brings back."""
        reader = NodesReader()
        answers = tuple(self._answer(member, reader) for member in self if member.silence is None)
        silences = tuple(
            Silence(member.endpoint, member.node_id, member.silence, waited_ms=1) for member in self if member.silence
        )
        return Observation(NOW_UNIX_MS, 5, (next(iter(self)).endpoint,), answers, silences)

    def _answer(self, member: Member, reader: NodesReader) -> Answer:
        asked = [ask for ask in Ask if ask not in member.absences]
        config: dict[str, str | None] = {"cluster-node-timeout": "15000", "cluster-replica-validity-factor": "10"}
        config |= {"cluster-replica-no-failover": "no", "cluster-require-full-coverage": "yes"}
        config |= {"repl-ping-replica-period": "10", "repl-timeout": "60", "min-replicas-to-write": "0"}
        config |= {"stop-writes-on-bgsave-error": "yes", "cluster-allow-replica-migration": "yes"} | member.config
        return Answer(
            member.endpoint,
            member.node_id,
            NOW_UNIX_MS,
            1,
            info=self.info_text(member) if Ask.INFO in asked else None,
            cluster_info=self.cluster_info_text(member) if Ask.CLUSTER_INFO in asked else None,
            nodes=reader.read(self.nodes_text(member)) if Ask.CLUSTER_NODES in asked else None,
            config={k: v for k, v in config.items() if v is not None} if Ask.CONFIG in asked else None,
            slot_migrations=member.migrations,
            users=member.users,
            login=member.login,
            absences=dict(member.absences),
        )

    def snapshot(self) -> Snapshot:
        return merge(self.observe())


def _endpoint(host: int, hosts: int, port: int) -> Endpoint:
    return Endpoint(f"127.50.{host % hosts + 1}.1", 7000 + port)

"""A World behind real sockets: each member is a small server that answers what the World says it would."""

from __future__ import annotations

import fnmatch

from rcfail.cluster.nouns import Endpoint, NodeId
from tests.unit.wire_servers import Behaviour, OddServer, array, bulk, speaker
from tests.unit.world import Member, World

CONFIG = {
    "cluster-node-timeout": "15000",
    "repl-timeout": "60",
    "min-replicas-to-write": "0",
    "stop-writes-on-bgsave-error": "yes",
    "save": "3600 1",
    "masterauth": "hidden",
    "requirepass": "hidden",
}


class Servers:
    """One server a member, on free ports of loopback. `behaviours` replaces what a member's server does."""

    def __init__(self, world: World, host: str = "127.0.0.1", port: int = 0) -> None:
        self.world = world
        self.behaviours: dict[NodeId, Behaviour] = {}
        self.by_id: dict[NodeId, OddServer] = {}
        for member in world:
            server = OddServer(self.behaviour_of(member), host, port)
            self.by_id[member.node_id] = server
            member.endpoint = server.endpoint

    def __getitem__(self, member: Member) -> OddServer:
        return self.by_id[member.node_id]

    @property
    def all(self) -> tuple[OddServer, ...]:
        return tuple(self.by_id.values())

    @property
    def first(self) -> Endpoint:
        return self.all[0].endpoint

    def asked(self, member: Member) -> int:
        """How many connections the member was asked over."""
        return len(self[member].calls)

    def behaviour_of(self, member: Member) -> Behaviour:
        """What the member's server does, whatever that is when a connection is made."""
        usual = speaker(lambda words: answer_of(self.world, member, words))
        return lambda call: self.behaviours.get(member.node_id, usual)(call)


def answer_of(world: World, member: Member, words: list[str]) -> bytes:
    """The member's reply to one command."""
    match words:
        case ["INFO"]:
            return bulk(f"# Server\r\n{world.info_text(member)}")
        case ["CLUSTER", "INFO"]:
            return bulk(world.cluster_info_text(member))
        case ["CLUSTER", "NODES"]:
            return bulk(world.nodes_text(member))
        case ["CLUSTER", "LINKS" | "GETSLOTMIGRATIONS"]:
            return array([])
        case ["ACL", "LIST"]:
            return array([bulk("user default on nopass ~* &* +@all")])
        case ["CONFIG", "GET", _, _, *_] if world.version.startswith("6."):
            return b"-ERR Unknown subcommand or wrong number of arguments for 'GET'. Try CONFIG HELP.\r\n"
        case ["CONFIG", "GET", *patterns]:
            found = [item for item in CONFIG.items() if any(fnmatch.fnmatchcase(item[0], each) for each in patterns)]
            return array([bulk(word) for item in found for word in item])
        case _:
            return b"-ERR unknown command\r\n"

"""What real servers of each version printed, from one small cluster made the same way on each.

Four nodes on 127.61.1.1, ports 17100 to 17103: three primaries with a third of the slots each, the fourth a replica
of the first, which holds three keys. Slot 77 is half moved from the first to the second node, the third gave up slot
16000 by itself, and was then reset hard; at last the second was killed. From Redis 7.0 on, all but the third
announce a host name.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rcfail.cluster.nouns import Address, Belief, Link, NodesReply, Role
from rcfail.cluster.parse_conf import parse_conf
from rcfail.cluster.parse_info import vitals
from rcfail.cluster.parse_links import parse_links
from rcfail.cluster.parse_nodes import NodesReader, render_reply
from rcfail.cluster.vitals import Flavour

CORPUS = Path(__file__).parent / "corpus"
VERSIONS = {
    "redis-6.2": (Flavour.REDIS, (6, 2, 14)),
    "redis-7.0": (Flavour.REDIS, (7, 0, 15)),
    "redis-8.2": (Flavour.REDIS, (8, 2, 3)),
    "valkey-8.1": (Flavour.VALKEY, (8, 1, 8)),
    "valkey-9.1": (Flavour.VALKEY, (9, 1, 2)),
}
every_version = pytest.mark.parametrize("version", VERSIONS)


def said(version: str, what: str) -> str:
    return (CORPUS / f"{version}.{what}.txt").read_bytes().decode()


def nodes(version: str, what: str) -> NodesReply:
    reply = NodesReader().read(said(version, f"{what}.nodes"))
    assert reply.table.problems == ()
    return reply


def by_port(reply: NodesReply) -> dict[int, Belief]:
    return {belief.address.port: belief for belief in reply.table.beliefs}


@every_version
def test_a_primary_lists_itself_the_others_and_its_open_slot(version: str) -> None:
    reply = nodes(version, "primary")
    node = by_port(reply)
    assert set(node) == {17100, 17101, 17102, 17103}
    assert reply.myself == (node[17100].node_id,)
    assert node[17100].slots == ((0, 5460),)
    assert node[17100].migrating == ((77, node[17101].node_id),)
    assert node[17101].slots == ((5461, 10921),)
    assert node[17102].slots == ((10922, 16383),)
    assert (node[17103].role, node[17103].primary_id, node[17103].slots) == (Role.REPLICA, node[17100].node_id, ())
    assert {node[port].role for port in (17100, 17101, 17102)} == {Role.PRIMARY}
    assert {belief.link for belief in reply.table.beliefs} == {Link.CONNECTED}
    assert node[17102].address == Address("127.61.1.1", 17102, 27102)
    hostname = "" if version == "redis-6.2" else "node-17101.example"
    assert node[17101].address == Address("127.61.1.1", 17101, 27101, hostname)


@every_version
def test_a_replica_of_valkey_lists_the_open_slot_too(version: str) -> None:
    reply = nodes(version, "replica")
    node = by_port(reply)
    assert reply.myself == (node[17103].node_id,)
    expected = ((77, node[17101].node_id),) if version.startswith("valkey") else ()
    assert node[17103].migrating == expected


@every_version
def test_the_owner_of_a_slot_may_say_less_than_the_others(version: str) -> None:
    reply = nodes(version, "hole")
    node = by_port(reply)
    assert reply.myself == (node[17102].node_id,)
    assert node[17102].slots == ((10922, 15999), (16001, 16383))


@every_version
def test_a_fresh_node_does_not_know_its_own_address(version: str) -> None:
    reply = nodes(version, "fresh")
    (belief,) = reply.table.beliefs
    hostname = "" if version == "redis-6.2" else "node-17100.example"
    assert belief.address == Address("", 17100, 27100, hostname)
    assert reply.pulses == "0 0"


@every_version
def test_nodes_being_met(version: str) -> None:
    reply = nodes(version, "handshake")
    met = [belief for belief in reply.table.beliefs if belief.handshake]
    assert {belief.address.port for belief in met} == {17101, 17102, 17103}
    assert {(belief.role, belief.link) for belief in met} == {(Role.UNKNOWN, Link.DISCONNECTED)}


@every_version
def test_a_killed_node_is_suspected_and_a_reset_one_lost_its_address(version: str) -> None:
    reply = nodes(version, "failed")
    node = by_port(reply)
    killed, reset = node[17101], node[0]
    assert (killed.suspected, killed.failed, killed.link) == (True, False, Link.DISCONNECTED)
    pulse = reply.pulse_of(killed.node_id)
    assert pulse is not None
    assert pulse.ping_sent_unix_ms > pulse.pong_received_unix_ms > 0
    assert (reset.noaddr, reset.address, reset.slots) == (True, Address("", 0, 0), ((10922, 16383),))
    # Valkey fails a node that lost its address at once; Redis goes on counting it as well.
    assert reset.failed is version.startswith("valkey")


@every_version
def test_its_nodes_conf_has_the_same_nodes_and_the_epochs(version: str) -> None:
    conf = parse_conf(said(version, "primary.conf"))
    assert (conf.has_vars, conf.current_epoch, conf.last_vote_epoch) == (True, 3, 0)
    assert conf.table.problems == ()
    listed = by_port(nodes(version, "primary"))
    stored = by_port(conf.reply)
    assert conf.myself == (listed[17100].node_id,)
    for port, belief in listed.items():
        assert (stored[port].node_id, stored[port].slots) == (belief.node_id, belief.slots)
    names = {name for belief in conf.table.beliefs for name, _ in belief.aux}
    assert names == (set() if version in ("redis-6.2", "redis-7.0") else {"tls-port", "shard-id"})


@every_version
def test_a_real_reply_renders_the_same_lines(version: str) -> None:
    text = said(version, "primary.nodes")
    assert sorted(render_reply(NodesReader().read(text)).splitlines()) == sorted(text.splitlines())


@every_version
def test_the_vitals_of_a_primary(version: str) -> None:
    read = vitals(said(version, "primary.info"), said(version, "primary.cluster-info"), None)
    assert read.unread == ()
    assert (read.server.flavour, read.server.version) == VERSIONS[version]
    assert (read.server.cluster_enabled, read.server.maxclients) == (True, 10000)
    assert read.server.paused_for_ms == (0 if version.startswith("valkey") else None)
    assert (read.replication.role, read.replication.connected_replicas) == ("master", 1)
    (replica,) = read.replication.attached
    assert (replica.ip, replica.port, replica.state) == ("127.61.1.1", 17103, "online")
    assert read.replication.primary_offset is not None
    assert replica.offset == read.replication.primary_offset > 0
    assert (read.storage.keys, read.storage.volatile_keys, read.storage.maxmemory) == (3, 0, 0)
    assert (read.storage.loading, read.storage.last_bgsave_ok, read.storage.aof_enabled) == (False, True, False)
    assert read.storage.uncounted_memory is not None
    assert (read.cluster.state, read.cluster.slots_assigned, read.cluster.size) == ("ok", 16384, 3)
    assert (read.cluster.known_nodes, read.cluster.current_epoch) == (4, 3)
    assert read.cluster.messages["meet_sent"] == 3
    assert "auth-req_sent" not in read.cluster.messages


@every_version
def test_the_vitals_of_its_replica(version: str) -> None:
    primary = vitals(said(version, "primary.info"), None, None).replication
    read = vitals(said(version, "replica.info"), None, None)
    assert read.unread == ()
    assert (read.replication.role, read.replication.link_up) == ("slave", True)
    assert (read.replication.primary_host, read.replication.primary_port) == ("127.61.1.1", 17100)
    assert read.replication.replid == primary.replid
    assert read.replication.own_offset is not None
    assert read.replication.own_offset > 0
    assert read.storage.keys == 3


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "redis-6.2"])
def test_bus_links_are_one_each_way_to_each_peer(version: str) -> None:
    reading = parse_links(ast.literal_eval(said(version, "primary.links")))
    assert reading.problems == ()
    peers = {belief.node_id for port, belief in by_port(nodes(version, "primary")).items() if port != 17100}
    expected = sorted((way, peer) for way in ("from", "to") for peer in peers)
    assert sorted((link.direction, link.node_id) for link in reading.links) == expected
    assert {link.events for link in reading.links} == {"r"}


def test_ipv6_is_printed_bare() -> None:
    node = by_port(nodes("redis-8.2", "ipv6"))
    assert node[17191].address == Address("::1", 17191, 27191)
    stored = by_port(parse_conf(said("redis-8.2", "ipv6.conf")).reply)
    assert stored[17190].address == Address("::1", 17190, 27190)
    assert stored[17190].aux == (("tls-port", "0"), ("shard-id", "4d94eb406a528cff35e0b6de6530a613fd9a4369"))

"""INFO, CLUSTER INFO and CONFIG GET into typed vitals: what is not said is None, what does not parse is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.parse_info import parse_info, vitals
from rcfail.cluster.vitals import AttachedReplica, Flavour, Vitals

_ALPHABET = "\x00\x1b \t\r\n\x85\u2028\udc80#:=,.-0159abdksv_é٣"


def info(**fields: object) -> str:
    return "# Any\r\n" + "".join([f"{name}:{value}\r\n" for name, value in fields.items()])


def test_fields_are_cut_at_the_first_colon() -> None:
    text = "# Server\r\nrun_id:abc\r\n\r\n# Clients\r\nslave0:ip=::1,port=7\r\nempty:\r\n"
    assert parse_info(text) == {"run_id": "abc", "slave0": "ip=::1,port=7", "empty": ""}


def test_newlines_alone_will_do() -> None:
    assert parse_info("# a:b\na:1\nb:2") == {"a": "1", "b": "2"}


def test_nothing_said_is_nothing_known() -> None:
    assert vitals(None, None, None) == Vitals() == vitals("", "", {})


@pytest.mark.parametrize(
    ("fields", "flavour", "version", "text"),
    [
        ({"redis_version": "6.2.14"}, Flavour.REDIS, (6, 2, 14), "6.2.14"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, Flavour.VALKEY, (9, 1, 2), "9.1.2"),
        ({"redis_version": "255.255.255"}, Flavour.REDIS, (255, 255, 255), "255.255.255"),
        ({"redis_version": "8.0-m01"}, Flavour.REDIS, (8, 0), "8.0-m01"),
        ({"garnet_version": "1.0.84", "redis_version": "7.4.3"}, Flavour.UNKNOWN, (1, 0, 84), "1.0.84"),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-v1.40.1"}, Flavour.UNKNOWN, (1, 40, 1), "df-v1.40.1"),
        ({"run_id": "x"}, Flavour.UNKNOWN, (), ""),
    ],
)
def test_flavour_and_version(fields: dict[str, str], flavour: Flavour, version: tuple[int, ...], text: str) -> None:
    server = vitals(info(**fields), None, None).server
    assert (server.flavour, server.version, server.version_text) == (flavour, version, text)


def test_a_version_without_numbers_is_told() -> None:
    read = vitals(info(redis_version="unstable"), None, None)
    assert read.server.version == ()
    assert read.unread == (("redis_version", "unstable"),)


def test_microseconds_become_milliseconds() -> None:
    assert vitals(info(server_time_usec=1795366504106273), None, None).server.server_time_unix_ms == 1795366504106


def test_a_replica_whose_link_is_down() -> None:
    text = info(
        role="slave",
        master_host="fe80::1",
        master_port=7000,
        master_link_status="down",
        master_last_io_seconds_ago=-1,
        master_sync_in_progress=1,
        master_link_down_since_seconds=-1,
        slave_repl_offset=0,
        slave_read_repl_offset=0,
        master_replid="a" * 40,
        master_replid2="0" * 40,
        second_repl_offset=-1,
    )
    read = vitals(text, None, None).replication
    assert (read.role, read.primary_host, read.primary_port) == ("slave", "fe80::1", 7000)
    assert (read.link_up, read.last_io_s, read.sync_in_progress, read.link_down_since_s) == (False, -1, True, -1)
    assert (read.own_offset, read.read_offset, read.primary_offset, read.second_offset) == (0, 0, None, -1)


@pytest.mark.parametrize(
    ("text", "replica"),
    [
        ("ip=10.0.0.2,port=7001,state=online,offset=28,lag=1", AttachedReplica("10.0.0.2", 7001, "online", 28, 1)),
        (
            "ip=::1,port=7001,state=wait_bgsave,offset=0,lag=0,io-thread=0",
            AttachedReplica("::1", 7001, "wait_bgsave", 0, 0),
        ),
        (
            "ip=b.example,port=7001,state=online,offset=188,lag=-1,type=replica",
            AttachedReplica("b.example", 7001, "online", 188, -1),
        ),
        ("ip=10.0.0.2,port=7001,state=send_bulk,offset=0", AttachedReplica("10.0.0.2", 7001, "send_bulk", 0, None)),
    ],
)
def test_attached_replicas_of_every_version(text: str, replica: AttachedReplica) -> None:
    read = vitals(info(slave0=text, slave1=text), None, None)
    assert read.replication.attached == (replica, replica)
    assert read.unread == ()


@pytest.mark.parametrize("text", ["", "10.0.0.2,7001,online", "ip=10.0.0.2,port=x,state=online,offset=1,lag=0"])
def test_an_attached_replica_without_address_is_told(text: str) -> None:
    read = vitals(info(slave0=text), None, None)
    assert read.replication.attached == ()
    assert read.unread == (("slave0", text),)


def test_an_attached_replica_without_offset_is_kept_and_told() -> None:
    text = "ip=10.0.0.2,port=7001,state=online,offset=?,lag=0"
    read = vitals(info(slave0=text), None, None)
    assert read.replication.attached == (AttachedReplica("10.0.0.2", 7001, "online", None, 0),)
    assert read.unread == (("slave0", text),)


def test_keys_of_all_databases() -> None:
    text = (
        "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0,subexpiry=0\r\ndb15:keys=4,expires=4,avg_ttl=9\r\n"
        "# Keysizes\r\ndb0_distrib_strings_sizes:1=3\r\n"
    )
    read = vitals(text, None, None)
    assert (read.storage.keys, read.storage.volatile_keys, read.unread) == (7, 5, ())


def test_an_empty_keyspace_is_zero_and_an_unasked_one_unknown() -> None:
    assert vitals("# Keyspace\r\n", None, None).storage.keys == 0
    assert vitals("# Replication\r\nrole:master\r\n", None, None).storage.keys is None


def test_a_database_that_does_not_parse_leaves_no_half_sum() -> None:
    read = vitals("# Keyspace\r\ndb0:keys=3,expires=0\r\ndb1:keys=many,expires=0\r\n", None, None)
    assert (read.storage.keys, read.storage.volatile_keys) == (None, None)
    assert read.unread == (("db1", "keys=many,expires=0"),)


def test_states_of_storage() -> None:
    text = info(
        loading=1, async_loading=0, loading_eta_seconds=5, rdb_last_bgsave_status="err", aof_last_write_status="ok"
    )
    read = vitals(text, None, None).storage
    assert (read.loading, read.async_loading, read.loading_eta_s) == (True, False, 5)
    assert (read.last_bgsave_ok, read.aof_last_write_ok, read.aof_enabled) == (False, True, None)


def test_cluster_info_and_its_message_counters() -> None:
    text = (
        "cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:10923\r\ncluster_slots_pfail:1\r\n"
        "cluster_slots_fail:5460\r\ncluster_known_nodes:6\r\ncluster_size:3\r\ncluster_current_epoch:7\r\n"
        "cluster_my_epoch:2\r\ncluster_stats_messages_auth-req_sent:4\r\ncluster_stats_messages_sent:180\r\n"
        "cluster_stats_messages_mfstart_received:1\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
    )
    read = vitals(None, text, None)
    state = read.cluster
    assert (state.state, state.slots_assigned, state.slots_ok) == ("fail", 16384, 10923)
    assert (state.slots_suspected, state.slots_failed) == (1, 5460)
    assert (state.known_nodes, state.size, state.current_epoch, state.my_epoch) == (6, 3, 7, 2)
    assert state.messages == {"auth-req_sent": 4, "sent": 180, "mfstart_received": 1}
    assert read.unread == ()


def test_configuration_with_names_of_both_spellings() -> None:
    config = {
        "cluster-node-timeout": "1500",
        "cluster-slave-validity-factor": "0",
        "cluster-replica-no-failover": "yes",
        "min-slaves-to-write": "1",
        "min-replicas-max-lag": "7",
        "save": "",
    }
    read = vitals(None, None, config)
    assert (read.config.node_timeout_ms, read.config.validity_factor) == (1500, 0)
    assert (read.config.no_failover, read.config.require_full_coverage) == (True, None)
    assert (read.config.min_replicas_to_write, read.config.min_replicas_max_lag_s) == (1, 7)
    assert (read.config.save, read.unread) == ("", ())


def test_no_failover_if_empty_is_neither_yes_nor_no() -> None:
    read = vitals(None, None, {"cluster-replica-no-failover": "if-empty"})
    assert read.config.no_failover is None
    assert read.unread == (("cluster-replica-no-failover", "if-empty"),)


@pytest.mark.parametrize("bad", ["", "x", "1.5", "1_0", " 1", "٣", "9" * 5000, "--1", "-"])
def test_a_number_that_is_none_is_told(bad: str) -> None:
    read = vitals(info(connected_slaves=bad), f"cluster_size:{bad}\r\n", {"repl-timeout": bad})
    assert (read.replication.connected_replicas, read.cluster.size, read.config.repl_timeout_s) == (None, None, None)
    assert read.unread == (("connected_slaves", bad), ("cluster_size", bad), ("repl-timeout", bad))


def test_a_truth_that_is_neither_is_told() -> None:
    read = vitals(info(master_link_status="sideways", loading="2"), None, None)
    assert (read.replication.link_up, read.storage.loading) == (None, None)
    assert set(read.unread) == {("master_link_status", "sideways"), ("loading", "2")}


def test_lines_that_are_no_fields_are_told() -> None:
    read = vitals("<html>\r\n:1\r\nrole:master\r\n", "garbage", None)
    assert read.replication.role == "master"
    assert read.unread == (("", "<html>"), ("", ":1"), ("", "garbage"))


@given(
    st.none() | st.text(_ALPHABET, max_size=200),
    st.none() | st.text(_ALPHABET, max_size=80),
    st.none() | st.dictionaries(st.sampled_from(["cluster-node-timeout", "save"]), st.text(_ALPHABET, max_size=9)),
)
def test_any_text_gives_vitals(text: str | None, cluster_info: str | None, config: dict[str, str] | None) -> None:
    assert isinstance(vitals(text, cluster_info, config), Vitals)


@given(st.dictionaries(st.sampled_from(["uptime_in_seconds", "slave0", "db0", "loading"]), st.text(_ALPHABET)))
def test_any_value_of_a_known_field_gives_vitals(fields: dict[str, str]) -> None:
    text = "# Keyspace\r\n" + info(**fields)
    assert isinstance(vitals(text, text, fields), Vitals)

"""Every form of a CLUSTER NODES line that servers print or have printed, each with the values it means."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Address, Belief, Link, NodeId, Role
from rcfail.cluster.parse_line import LineReading, read_line

A = NodeId("a" * 40)
B = NodeId("b" * 40)


def whole(line: str) -> Belief:
    """The belief of a line that has nothing wrong."""
    reading = read_line(line)
    assert reading.reasons == ()
    assert reading.belief is not None
    return reading.belief


def flawed(line: str) -> tuple[Belief, str]:
    """The belief and the reasons of a line that is wrong in part."""
    reading = read_line(line)
    assert reading.belief is not None
    assert reading.reasons
    return reading.belief, "; ".join(reading.reasons)


def at(place: str) -> str:
    return f"{A} {place} master - 0 0 1 connected"


def test_a_primary_with_all_that_a_line_can_say() -> None:
    line = (
        f"{A} 10.0.0.1:7000@17000,a.example myself,master - 12 34 7 connected 0-99 101 5461-16383 "
        f"[77->-{B}] [93-<-{B}] [78->-{B}]"
    )
    assert read_line(line) == LineReading(
        belief=Belief(
            node_id=A,
            address=Address("10.0.0.1", 7000, 17000, "a.example"),
            flags=("master",),
            role=Role.PRIMARY,
            primary_id=None,
            config_epoch=7,
            link=Link.CONNECTED,
            slots=((0, 99), (101, 101), (5461, 16383)),
            migrating=((77, B), (78, B)),
            importing=((93, B),),
            line=(
                f"{A} 10.0.0.1:7000@17000,a.example master - 0 0 7 connected 0-99 101 5461-16383 "
                f"[77->-{B}] [93-<-{B}] [78->-{B}]"
            ),
        ),
        pulse="12 34",
        myself=True,
        reasons=(),
    )


def test_a_replica_names_its_primary() -> None:
    belief = whole(f"{A} 10.0.0.1:7000@17000 slave {B} 0 1795366503329 3 disconnected")
    assert (belief.role, belief.primary_id, belief.link) == (Role.REPLICA, B, Link.DISCONNECTED)
    assert belief.slots == ()


def test_a_replica_whose_primary_is_unknown_has_a_dash() -> None:
    assert whole(f"{A} 10.0.0.1:7000@17000 slave - 0 0 3 connected").primary_id is None


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("10.0.0.1:7000@17000", Address("10.0.0.1", 7000, 17000)),
        ("10.0.0.1:7000@9", Address("10.0.0.1", 7000, 9)),
        ("10.0.0.1:7000", Address("10.0.0.1", 7000, None)),
        ("10.0.0.1:0@17000", Address("10.0.0.1", 0, 17000)),
        ("::1:7000@17000", Address("::1", 7000, 17000)),
        ("fe80::1:6379@16379,a.example", Address("fe80::1", 6379, 16379, "a.example")),
        ("2001:db8::7:7000", Address("2001:db8::7", 7000)),
        ("[2001:db8::7]:7000@17000", Address("2001:db8::7", 7000, 17000)),
        ("fe80::1%eth0:7000@17000", Address("fe80::1%eth0", 7000, 17000)),
        (":6379@16379", Address("", 6379, 16379)),
        (":6379@16379,a.example", Address("", 6379, 16379, "a.example")),
        (":0", Address("", 0)),
        (":0@0", Address("", 0, 0)),
        (":0@0,a.example", Address("", 0, 0, "a.example")),
        ("10.0.0.1:7000@17000,", Address("10.0.0.1", 7000, 17000)),
        ("node-1.example:7000@17000", Address("node-1.example", 7000, 17000)),
    ],
)
def test_address_forms(place: str, address: Address) -> None:
    assert whole(at(place)).address == address


def test_an_address_without_host_or_port_is_no_place_to_dial() -> None:
    assert whole(at(":6379@16379")).address.endpoint is None
    assert whole(at("10.0.0.1:0@17000")).address.endpoint is None


@pytest.mark.parametrize(
    ("place", "hostname", "aux"),
    [
        ("h:1@2,,tls-port=0,shard-id=" + B, "", (("tls-port", "0"), ("shard-id", B))),
        ("h:1@2,,shard-id=" + B + ",tls-port=0", "", (("shard-id", B), ("tls-port", "0"))),
        ("h:1@2,a.example,nodename=,shard-id=" + B, "a.example", (("nodename", ""), ("shard-id", B))),
        ("h:1@2,shard-id=" + B, "", (("shard-id", B),)),
        ("h:1@2,availability-zone=a=b,a.example", "a.example", (("availability-zone", "a=b"),)),
    ],
)
def test_auxiliary_fields_in_any_order(place: str, hostname: str, aux: tuple[tuple[str, str], ...]) -> None:
    belief = whole(at(place))
    assert (belief.address.hostname, belief.aux) == (hostname, aux)


@pytest.mark.parametrize(
    ("place", "address", "reason"),
    [
        ("10.0.0.1", Address("10.0.0.1", 0), "address '10.0.0.1' has no port"),
        ("10.0.0.1:70000@17000", Address("10.0.0.1", 0, 17000), "port '70000' is not a port"),
        ("10.0.0.1:7000@", Address("10.0.0.1", 7000), "bus port '' is not a port"),
        ("10.0.0.1:7000@x", Address("10.0.0.1", 7000), "bus port 'x' is not a port"),
        ("10.0.0.1:@17000", Address("10.0.0.1", 0, 17000), "port '' is not a port"),
        ("10.0.0.1:٧٠٠٠", Address("10.0.0.1", 0), "port '٧٠٠٠' is not a port"),
        ("h:1@2,a.example,b.example", Address("h", 1, 2, "a.example"), "second host name 'b.example'"),
    ],
)
def test_an_address_that_is_wrong_in_part_is_kept_in_part(place: str, address: Address, reason: str) -> None:
    belief, reasons = flawed(at(place))
    assert belief.address == address
    assert reasons == reason


@pytest.mark.parametrize(
    ("printed", "flags", "role", "myself"),
    [
        ("master", ("master",), Role.PRIMARY, False),
        ("primary", ("primary",), Role.PRIMARY, False),
        ("slave", ("slave",), Role.REPLICA, False),
        ("replica,fail?", ("replica", "fail?"), Role.REPLICA, False),
        ("fail?,master,myself", ("fail?", "master"), Role.PRIMARY, True),
        ("handshake", ("handshake",), Role.UNKNOWN, False),
        ("noflags", (), Role.UNKNOWN, False),
        ("myself", (), Role.UNKNOWN, True),
        ("master,brand-new-flag,noaddr", ("master", "brand-new-flag", "noaddr"), Role.PRIMARY, False),
        ("maste", ("maste",), Role.UNKNOWN, False),
    ],
)
def test_flags(printed: str, flags: tuple[str, ...], role: Role, myself: bool) -> None:
    reading = read_line(f"{A} h:1@2 {printed} - 0 0 1 connected")
    assert reading.reasons == ()
    assert reading.belief is not None
    assert (reading.belief.flags, reading.belief.role, reading.myself) == (flags, role, myself)


@pytest.mark.parametrize(
    ("printed", "failed", "suspected", "nofailover"),
    [
        ("master,fail", True, False, False),
        ("master,fail?", False, True, False),
        ("slave,nofailover", False, False, True),
        ("slave,failing,nofailovers", False, False, False),
    ],
)
def test_flags_are_whole_words(printed: str, failed: bool, suspected: bool, nofailover: bool) -> None:
    belief = whole(f"{A} h:1@2 {printed} - 0 0 1 connected")
    assert (belief.failed, belief.suspected, belief.nofailover) == (failed, suspected, nofailover)


def test_both_roles_at_once_are_neither() -> None:
    belief, reasons = flawed(f"{A} h:1@2 master,slave - 0 0 1 connected")
    assert (belief.role, belief.flags) == (Role.UNKNOWN, ("master", "slave"))
    assert "both primary and replica" in reasons


def test_an_empty_flag_is_told() -> None:
    belief, reasons = flawed(f"{A} h:1@2 master,,fail - 0 0 1 connected")
    assert belief.flags == ("master", "fail")
    assert "hold an empty one" in reasons


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("16384", "'16384' is no slot"),
        ("16000-65536", "'16000-65536' is no slot"),
        ("99-3", "'99-3' is no slot"),
        ("-5", "'-5' is no slot"),
        ("5-", "'5-' is no slot"),
        ("1-2-3", "'1-2-3' is no slot"),
        ("٣", "'٣' is no slot"),
        (f"[16384->-{B}]", "is no slot"),
        (f"[77->-{B[:39]}]", "is no slot"),
        ("[77->-", "is no slot"),
        ("[5]", "is no slot"),
    ],
)
def test_a_slot_that_cannot_be_is_kept_out_and_told(token: str, reason: str) -> None:
    belief, reasons = flawed(f"{A} h:1@2 master - 0 0 1 connected 10-20 {token} 30")
    assert belief.slots == ((10, 20), (30, 30))
    assert belief.migrating == belief.importing == ()
    assert reason in reasons


def test_many_bad_slots_are_counted_not_recited() -> None:
    _, reasons = flawed(f"{A} h:1@2 master - 0 0 1 connected " + " ".join(["99999"] * 5000))
    assert reasons.endswith("4997 more such slots")
    assert len(reasons) < 300


def test_slots_come_in_order_and_are_counted_once() -> None:
    assert whole(f"{A} h:1@2 master - 0 0 1 connected 9 0-3").slots == ((0, 3), (9, 9))
    belief, reasons = flawed(f"{A} h:1@2 master - 0 0 1 connected 0-5 3-8 8")
    assert (belief.slots, belief.slot_count) == (((0, 8),), 9)
    assert reasons == "slot ranges overlap"


def test_a_primary_id_cut_short_is_told() -> None:
    belief, reasons = flawed(f"{A} h:1@2 slave {B[:39]} 0 0 1 connected")
    assert belief.primary_id is None
    assert "is not 40 hex digits" in reasons


def test_a_link_state_cut_short_is_unknown() -> None:
    belief, reasons = flawed(f"{A} h:1@2 slave {B} 0 0 1 connecte")
    assert belief.link is Link.UNKNOWN
    assert "link state 'connecte'" in reasons


def test_tick_counters_pass_as_pulse() -> None:
    reading = read_line(f"{A} h:1@2 master - 638712345678901234 18446744073709551615 1 connected")
    assert (reading.pulse, reading.reasons) == ("638712345678901234 18446744073709551615", ())


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "9" * 5000])
def test_a_pulse_that_is_no_number_is_zero_and_told(bad: str) -> None:
    reading = read_line(f"{A} h:1@2 master - {bad} 5 1 connected")
    assert (reading.belief is not None, reading.pulse) == (True, "0 5")
    assert "is not a number" in reading.reasons[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{A[:39]} h:1@2 master - 0 0 1 connected", "node id has 39 characters"),
        (f"{'A' * 40} h:1@2 master - 0 0 1 connected", "40 lower-case hex digits are needed"),
        ("hello world", "does not begin with a node id"),
        ("\x00\x00\x00", "does not begin with a node id"),
        ("", "does not begin with a node id"),
        (A, "cut off: 1 fields"),
        (f"{A} h:1@2 master - 0 0 1", "cut off: 7 fields"),
        (f"{A} h:1@2 master - 0 0 x connected 0-5", "config epoch 'x' is not a number"),
        (f"{A} h:1@2 master - 0 0 {'9' * 5000} connected", "is not a number"),
    ],
)
def test_without_id_fields_or_epoch_there_is_no_belief(line: str, reason: str) -> None:
    reading = read_line(line)
    assert reading.belief is None
    assert reason in reading.reasons[0]


def test_any_white_space_of_the_loader_parts_fields() -> None:
    spaced = whole(f"  {A}\t h:1@2  master \v-\f0 0 1 connected  5 \r")
    assert spaced == whole(f"{A} h:1@2 master - 0 0 1 connected 5")


def test_a_no_break_space_parts_nothing() -> None:
    assert whole(f"{A} h\xa0x:1@2 master - 0 0 1 connected").address.host == "h\xa0x"


def test_reasons_cannot_carry_control_sequences() -> None:
    _, reasons = flawed(f"{A} h:1@2 master - 0 0 1 \x1b[31mconnected")
    assert "\x1b" not in reasons

"""Where an announced address is reached from here, by the operator's rules, and what the crawl makes of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.clock import Deadline
from rcfail.cluster.natmap import Natmap, fault_in
from rcfail.cluster.nouns import Address, Endpoint
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.errors import ConfigFault, UsageFault
from rcfail.settings.load import Flags, load
from rcfail.wire.bounds import Bounds
from rcfail.wire.crawl import crawl, look_again
from rcfail.wire.door import Door
from rcfail.wire.record_form import observation_from, observation_to
from tests.unit.wire_servers import closed_port, serving
from tests.unit.wire_world import Servers
from tests.unit.world import World

DOOR = Door(bounds=Bounds(connect_s=1.0, read_s=0.5, resolve_s=0.5))


@pytest.mark.parametrize(
    ("rule", "address", "reached"),
    [
        ("10.0.0.5:6379=127.0.0.1:7001", Address("10.0.0.5", 6379), Endpoint("127.0.0.1", 7001)),
        ("10.0.0.5:6379=127.0.0.1:7001", Address("10.0.0.5", 6380), Endpoint("10.0.0.5", 6380)),
        ("10.0.0.5=203.0.113.7", Address("10.0.0.5", 6380), Endpoint("203.0.113.7", 6380)),
        ("10.0.0.*=192.168.1.*", Address("10.0.0.17", 6379), Endpoint("192.168.1.17", 6379)),
        ("10.0.0.*=192.168.1.*", Address("10.0.1.17", 6379), Endpoint("10.0.1.17", 6379)),
        ("10.0.0.*=bastion:*", Address("10.0.0.17", 6379), Endpoint("bastion", 6379)),
        ("10.0.0.5:*=127.0.0.1:1*", Address("10.0.0.5", 6379), Endpoint("127.0.0.1", 16379)),
        ("*:6379=*:6380", Address("10.0.0.5", 6379), Endpoint("10.0.0.5", 6380)),
        ("*:63*=*:73*", Address("10.0.0.5", 6381), Endpoint("10.0.0.5", 7381)),
        ("*.internal=*.example.com", Address("10.0.0.5", 6379, None, "n1.internal"), Endpoint("n1.example.com", 6379)),
        ("[fd00::5]:6379=[::1]:7001", Address("fd00::5", 6379), Endpoint("::1", 7001)),
        ("[fd00::*]=10.0.0.*", Address("fd00::7", 6379), Endpoint("10.0.0.7", 6379)),
        ("Node-1=10.0.0.1", Address("NODE-1", 6379), Endpoint("10.0.0.1", 6379)),
    ],
)
def test_a_rule_says_where_an_address_is_reached(rule: str, address: Address, reached: Endpoint) -> None:
    assert fault_in(rule) == ""
    assert Natmap((rule,)).reached(address) == reached


def test_the_first_rule_that_fits_counts_and_rules_are_not_chained() -> None:
    natmap = Natmap(("10.0.0.5=10.0.0.6", "10.0.0.*=10.9.9.*", "10.9.9.*=1.1.1.1"))
    assert natmap.reached(Address("10.0.0.5", 1)) == Endpoint("10.0.0.6", 1)
    assert natmap.reached(Address("10.0.0.7", 1)) == Endpoint("10.9.9.7", 1)


@pytest.mark.parametrize("address", [Address("", 6379), Address("?", 6379), Address("10.0.0.5", 0)])
def test_what_is_no_address_stays_none(address: Address) -> None:
    assert Natmap(("*=10.0.0.1",)).reached(address) is None
    assert Natmap().reached(address) is None


def test_a_rule_that_leads_to_no_port_leads_nowhere() -> None:
    assert Natmap(("*:*=*:9*",)).reached(Address("10.0.0.5", 65535)) is None


def test_no_password_is_repeated_from_what_is_no_rule() -> None:
    with pytest.raises(UsageFault, match="--natmap") as fault:
        load(Flags(natmap=("ops:hunter2@10.0.0.5:6379=127.0.0.1:7000",)), {})
    assert "hunter2" not in fault.value.message + fault.value.hint


@pytest.mark.parametrize(
    "rule",
    [
        "", "=", "a", "a=", "=b", "a=b=c", "a:x=b", "a:1=b:0", "a:1=b:65536", "a:1=b:1:2", "::1=::2", "a b=c", "a=b/c",
        "10.0.*.*=10.1.0.1", "a=b.*", "a:1=b:*", "a:1*1*=b", "a@b=c",
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_a_hint(rule: str) -> None:
    assert fault_in(rule)
    with pytest.raises(UsageFault, match="--natmap") as fault:
        load(Flags(natmap=(rule,)), {})
    assert "ANNOUNCED=REACHABLE" in fault.value.hint


def test_rules_of_flags_come_before_those_of_the_variable() -> None:
    settings = load(Flags(natmap=("a=b",)), {"RCFAIL_NATMAP": "c=d, e=f"})
    assert settings.natmap == Natmap(("a=b", "c=d", "e=f"))
    with pytest.raises(ConfigFault, match="RCFAIL_NATMAP"):
        load(Flags(), {"RCFAIL_NATMAP": "nonsense"})


def look(servers: Servers, natmap: Natmap) -> Observation:
    return crawl([servers.first], DOOR, deadline=Deadline.after(20), natmap=natmap)


class Hidden:
    """A cluster whose nodes announce addresses of a network that is not here."""

    def __init__(self) -> None:
        self.servers = Servers(World.of(3, 1))
        rules = []
        for at, member in enumerate(self.servers.world):
            reachable, member.endpoint = member.endpoint, Endpoint(f"192.0.2.{at + 1}", 6379)
            rules.append(f"{member.endpoint}={reachable}")
        self.natmap = Natmap(tuple(rules))


def test_the_crawl_goes_where_the_rules_lead() -> None:
    hidden = Hidden()
    with serving(*hidden.servers.all):
        observation = look(hidden.servers, hidden.natmap)
        again = look_again(observation, DOOR, deadline=Deadline.after(20))
    for each in (observation, again):
        assert sorted(answer.endpoint for answer in each.answers) == sorted(
            server.endpoint for server in hidden.servers.all
        )
        assert all(answer.nodes and answer.expected == answer.nodes.myself[0] for answer in each.answers)
        assert each.silences == each.deserted == ()
        assert each.natmap == hidden.natmap
    assert observation_from(json.loads(json.dumps(observation_to(observation)))) == observation


def test_a_rule_that_leads_to_another_node_is_told() -> None:
    """Both addresses lead to one process: the other node is silent, not healthy."""
    hidden = Hidden()
    first, second, *rest = hidden.natmap.rules
    wrong = second.partition("=")[0] + "=" + first.partition("=")[2]
    with serving(*hidden.servers.all):
        observation = look(hidden.servers, Natmap((first, wrong, *rest)))
    missing = list(hidden.servers.world)[1].node_id
    assert [(each.expected, each.reason) for each in observation.silences] == [(missing, SilenceReason.ANOTHER_NODE)]


def test_a_rule_that_leads_nowhere_is_a_silence_at_the_address_that_was_dialled() -> None:
    hidden = Hidden()
    *rest, last = hidden.natmap.rules
    nowhere = closed_port()
    with serving(*hidden.servers.all):
        observation = look(hidden.servers, Natmap((*rest, f"{last.partition('=')[0]}={nowhere}")))
    assert [(each.endpoint, each.reason) for each in observation.silences] == [(nowhere, SilenceReason.REFUSED)]


def test_port_0_is_told_as_such() -> None:
    servers = Servers(World.of(3, 1))
    member = servers.world["c1"]
    member.endpoint = Endpoint(member.endpoint.host, 0)
    with serving(*servers.all):
        observation = crawl([servers.first], DOOR, deadline=Deadline.after(20))
    assert [(each.expected, each.reason) for each in observation.silences] == [(member.node_id, SilenceReason.NO_PORT)]


RULES = st.one_of(st.text(max_size=30), st.text("ab1.:*[]=?/ ", max_size=24))


@given(RULES, st.text("ab1.:*?", max_size=12), st.integers(0, 65535), st.text("ab1.*", max_size=8))
def test_whatever_is_written_or_announced_nothing_is_raised(rule: str, host: str, port: int, hostname: str) -> None:
    if fault_in(rule):
        return
    reached = Natmap((rule,)).reached(Address(host, port, None, hostname))
    assert reached is None or (reached.host and 0 < reached.port <= 65535)

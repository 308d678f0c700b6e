"""Nodes that TLS keeps from us, and clusters whose addresses are mapped: what the findings say of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.natmap import Natmap
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Observation, Silence, SilenceReason
from rcfail.health.diagnose import clean, diagnose
from rcfail.health.finding import Finding, Severity, Thresholds
from tests.unit.world import World, node_id


def judged(observation: Observation) -> tuple[Finding, ...]:
    return diagnose(merge(observation), Thresholds())


@pytest.mark.parametrize(
    ("reason", "evidence", "hint"),
    [
        (SilenceReason.TLS_EXPECTED, "TLS port", "--tls --cacert FILE"),
        (SilenceReason.NOT_TLS, "does not speak TLS", "--natmap '*:7002=*:TLS_PORT'"),
        (SilenceReason.TLS_UNTRUSTED, "no CA that we trust", "--cacert"),
        (SilenceReason.TLS_EXPIRED, "not valid now", "Renew"),
        (SilenceReason.TLS_NAME, "for another name", "cluster-announce-hostname"),
        (SilenceReason.TLS_CLIENT_CERT, "client certificate", "--cert FILE --key FILE"),
        (SilenceReason.TLS_FAILED, "handshake failed", "tls-protocols"),
        (SilenceReason.NO_PORT, "port 0", "--tls"),
    ],
)
def test_a_node_that_tls_keeps_from_us_is_unknown_and_has_its_hint(
    reason: SilenceReason, evidence: str, hint: str
) -> None:
    world = World.of(3, 1)
    world["b1"].silence = reason
    (finding,) = (each for each in judged(world.observe()) if each.code == "node-silent")
    assert (finding.severity, finding.subject.id) == (Severity.UNKNOWN, node_id("b1"))
    assert evidence in finding.evidence
    assert hint.replace("7002", str(world["b1"].endpoint.port)) in finding.hint
    assert "died" not in finding.consequence, "whoever shakes hands is there"


def mapped(world: World) -> Observation:
    """The same world, announced at other addresses than it is reached at."""
    reached = {member.node_id: member.endpoint for member in world}
    rules = []
    for at, member in enumerate(world):
        member.endpoint = Endpoint(f"192.0.2.{at + 1}", 6379)
        rules.append(f"{member.endpoint}={reached[member.node_id]}")
    seen = world.observe()
    answers = tuple(replace(each, endpoint=reached[each.nodes.myself[0]]) for each in seen.answers if each.nodes)
    return replace(seen, answers=answers, natmap=Natmap(tuple(rules)))


def test_a_cluster_behind_nat_is_as_well_as_it_is_and_shown_where_it_is_reached() -> None:
    plain = World.of(3, 1)
    places = {member.node_id: member.endpoint for member in plain}
    observation = mapped(World.of(3, 1))
    assert clean(judged(observation))
    assert {node.node_id: node.endpoint for node in merge(observation).nodes.values()} == places


def test_a_mapped_address_where_nobody_answers_is_told_though_the_node_answers_elsewhere() -> None:
    observation = mapped(World.of(3, 1))
    nowhere = Endpoint("127.9.9.9", 1)
    first, *rest = observation.natmap.rules
    lost = Silence(nowhere, node_id("a"), SilenceReason.REFUSED)
    rules = (f"{first.partition('=')[0]}={nowhere}", *rest)
    findings = judged(replace(observation, natmap=Natmap(rules), deserted=(lost,)))
    (finding,) = (each for each in findings if each.code == "self-address-wrong")
    assert (finding.severity, finding.subject.id) == (Severity.UNKNOWN, node_id("a"))
    assert "--natmap" in finding.hint


def test_two_announced_addresses_that_lead_to_one_place_are_told() -> None:
    observation = mapped(World.of(3, 1))
    first, second, *rest = observation.natmap.rules
    wrong = f"{second.partition('=')[0]}={first.partition('=')[2]}"
    findings = judged(replace(observation, natmap=Natmap((first, wrong, *rest))))
    assert "node-duplicate-address" in {each.code for each in findings}

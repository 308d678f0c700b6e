"""Who sees whom: partitions, views that differ, shared epochs, links of one direction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import BusLink
from rcfail.cluster.observation import Absence, AbsenceKind, Ask
from rcfail.cluster.snapshot import Snapshot
from rcfail.health.finding import Finding, Promise, Severity, SubjectKind, Thresholds
from rcfail.health.rules import views
from rcfail.health.verdict import impaired
from tests.unit.parting import part
from tests.unit.world import NOW_UNIX_MS, World, node_id

ONE_TWO = ("a c1", "b c a1 b1")
LONG_AGO = NOW_UNIX_MS - 20_000


def found(snapshot: Snapshot) -> list[Finding]:
    return [each for rule in views.RULES for each in rule(snapshot, Thresholds())]


def only(world: World) -> Finding:
    (one,) = found(world.snapshot())
    return one


def test_a_healthy_cluster_has_nothing() -> None:
    assert found(World.of(3, 2).snapshot()) == []


class TestPartition:
    def test_a_slot_owner_that_is_cut_is_critical(self) -> None:
        one = only(part(World.of(3, 1), *ONE_TWO))
        assert (one.code, one.severity, one.subject.kind) == ("partition", Severity.CRITICAL, SubjectKind.CLUSTER)
        assert "4 nodes with 2 of 3 voters, the quorum" in one.evidence
        assert "2 nodes with 1 of 3 voters (" in one.evidence
        assert "rcfail views" in one.hint
        assert Promise.SERVING in impaired(one)

    def test_replicas_alone_are_a_warning_that_serves(self) -> None:
        one = only(part(World.of(3, 1), "a1 b1", "a b c c1"))
        assert one.severity is Severity.WARNING
        assert Promise.SERVING not in impaired(one)

    def test_no_quorum_anywhere_is_critical(self) -> None:
        one = only(part(World.of(3, 1), "a c1", "b a1", "c b1"))
        assert one.severity is Severity.CRITICAL
        assert one.consequence.startswith("No side has 2 of 3 voters")


class TestLinkMissing:
    def test_an_old_ping_in_one_direction(self) -> None:
        world = World.of(3, 1)
        world["a"].sees[node_id("b")] = world["b"].line(ping_sent=LONG_AGO)
        one = only(world)
        assert (one.code, one.severity, one.subject.id) == ("link-missing", Severity.WARNING, node_id("a"))
        assert "1 bus link of 6 nodes is missing in one direction" in one.evidence
        assert "no answer for 20 s" in one.evidence

    def test_on_a_server_without_links_that_is_said(self) -> None:
        world = World.of(3, 1)
        world["a"].sees[node_id("b")] = world["b"].line(ping_sent=LONG_AGO)
        world["a"].absences[Ask.CLUSTER_LINKS] = Absence(AbsenceKind.UNSUPPORTED, "redis 6.2.14 has no CLUSTER LINKS")
        assert "no CLUSTER LINKS to confirm it" in only(world).evidence

    def test_one_that_nobody_gets_through_to_is_bus_unreachable_and_not_this(self) -> None:
        world = World.of(3, 1)
        for member in world:
            if member is not world["b"]:
                member.sees[node_id("b")] = world["b"].line(ping_sent=LONG_AGO)
        assert found(world.snapshot()) == []

    def test_several_from_one_side_are_one_finding(self) -> None:
        world = World.of(3, 1)
        for one in ("a", "c1"):
            for other in ("b", "a1"):
                world[one].sees[node_id(other)] = world[other].line(ping_sent=LONG_AGO)
        one_finding = only(world)
        assert one_finding.subject.kind is SubjectKind.CLUSTER
        assert "4 bus links of 6 nodes are missing" in one_finding.evidence

    @pytest.mark.parametrize(
        ("near", "far", "told"), [(False, False, True), (True, False, False), (False, True, False)]
    )
    def test_links_count_where_both_ends_lack_it(self, near: bool, far: bool, told: bool) -> None:
        """One end alone may be making the link anew at this moment; a `to` without `r` is not connected."""
        seen = World.of(3, 1).observe()
        a, b = node_id("a"), node_id("b")
        answers = []
        for answer in seen.answers:
            mine = answer.nodes.myself[0] if answer.nodes else a
            others = [each.expected for each in seen.answers if each.expected and each.expected != mine]
            links = [BusLink("to", other, 1, "r", 0) for other in others]
            links += [BusLink("from", other, 1, "r", 0) for other in others]
            if mine == a and not near:
                links = [
                    replace(each, events="w") if (each.direction, each.node_id) == ("to", b) else each for each in links
                ]
            if mine == b and not far:
                links = [each for each in links if (each.direction, each.node_id) != ("from", a)]
            answers.append(replace(answer, links=tuple(links)))
        codes = [each.code for each in found(merge(replace(seen, answers=tuple(answers))))]
        assert codes == (["link-missing"] if told else [])


class TestAgreement:
    def test_a_demotion_that_some_have_not_heard_of_is_on_its_way(self) -> None:
        world = World.of(3, 1)
        world["b1"].sees[node_id("a1")] = world["a1"].line(primary=None, epoch=9)
        one = only(world)
        assert (one.code, one.severity) == ("not-converged", Severity.INFO)
        assert "1 of 6 views have not heard the newest yet" in one.evidence
        assert "listed as a primary without slots" in one.evidence

    def test_it_is_no_more_on_its_way_when_nothing_is_heard_of_the_node(self) -> None:
        world = World.of(3, 1)
        world["b1"].sees[node_id("a1")] = world["a1"].line(primary=None, epoch=9, pong_received=LONG_AGO)
        one = only(world)
        assert (one.code, one.severity) == ("views-differ", Severity.WARNING)
        assert (one.subject.kind, one.subject.id) == (SubjectKind.VIEW, node_id("b1"))

    def test_what_differs_between_the_sides_of_a_partition_is_the_partition(self) -> None:
        world = part(World.of(3, 1), *ONE_TWO)
        world["a"].sees[node_id("a1")] = world["a1"].line(primary=node_id("b"), flags=("fail?",), ping_sent=LONG_AGO)
        assert [each.code for each in found(world.snapshot())] == ["partition"]

    def test_host_names_links_and_flags_are_no_difference(self) -> None:
        world = World.of(3, 1)
        plain = world["b"].line()
        address = plain.split()[1]
        world["a"].sees[node_id("b")] = plain.replace(address, f"{address},node-b.example")
        world["c"].sees[node_id("b")] = world["b"].line(link="disconnected")
        world["a1"].sees[node_id("b")] = world["b"].line(flags=("nofailover",))
        assert found(world.snapshot()) == []

    @pytest.mark.parametrize(("epoch", "code"), [(1, "not-converged"), (9, "views-differ")])
    def test_slots_given_to_another_heal_only_when_the_owners_epoch_is_greater(self, epoch: int, code: str) -> None:
        world = World.of(3, 1)
        world["c"].sees[node_id("b")] = world["b"].line(slots=((5461, 10920),))
        world["c"].sees[node_id("a")] = world["a"].line(slots=((0, 5460), (10921, 10921)), epoch=epoch)
        assert code in [each.code for each in found(world.snapshot())]

    def test_a_dead_node_whose_last_news_did_not_reach_all_is_no_difference(self) -> None:
        world = World.of(3, 1)
        world.kill("a1")
        world["c"].sees[node_id("a1")] = world["a1"].line(primary=None)
        assert found(world.snapshot()) == []


class TestEpochs:
    def test_of_different_slots_is_a_warning(self) -> None:
        world = World.of(3, 1)
        world["b"].epoch = world["a"].epoch
        one = only(world)
        assert (one.code, one.severity, one.subject.id) == ("epoch-collision", Severity.WARNING, node_id("a"))
        assert "have config epoch 1" in one.evidence

    def test_of_the_same_slots_is_critical_and_says_who_wins(self) -> None:
        world = part(World.of(3, 2), "a b1 c1", "b c a1 a2 b2 c2")
        heir, slots = world["a1"], world["a"].slots
        for member in world:
            if member.node_id in {node_id(each) for each in ("b", "c", "a1", "a2", "b2", "c2")}:
                member.sees[node_id("a")] = world["a"].line(flags=("fail",), slots=(), ping_sent=LONG_AGO)
                member.sees[heir.node_id] = heir.line(member is heir, primary=None, slots=slots, epoch=7)
        world["a"].epoch = 7
        one = next(each for each in found(world.snapshot()) if each.code == "epoch-collision")
        assert (one.severity, one.subject.id) == (Severity.CRITICAL, "0-5460")
        winner = min(world["a"].node_id, heir.node_id)
        assert f"({winner[:8]}) wins" in one.consequence

    def test_primaries_without_slots_may_share_one(self) -> None:
        world = World.of(3, 2)
        for letter in ("a2", "b2"):
            world[letter].primary, world[letter].epoch = None, 0
        assert found(world.snapshot()) == []

"""One cluster or two, one process or two behind an id, one address or two."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rcfail.cluster.kinship import kin
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Observation, Silence, SilenceReason
from rcfail.cluster.snapshot import Known
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Finding, Severity, SubjectKind, Thresholds
from rcfail.health.rules import identity
from rcfail.health.verdict import Verdict, conclude
from rcfail.wire.record_form import observation_from, observation_to
from tests.unit.world import Member, World, node_id


def other_world() -> World:
    """A second cluster of three primaries: other ids, other addresses, the same slots."""
    slots = ((0, 5460), (5461, 10922), (10923, 16383))
    return World(
        [
            Member(node_id(f"9{at}"), Endpoint(f"127.60.{at}.1", 7000), None, (ranges,), at + 1)
            for at, ranges in enumerate(slots)
        ]
    )


def both(first: Observation, second: Observation) -> Observation:
    return replace(first, seeds=(*first.seeds, *second.seeds), answers=(*first.answers, *second.answers))


def found(observation: Observation) -> list[Finding]:
    return list(diagnose(merge(observation), Thresholds()))


class TestForeign:
    def test_seeds_of_two_clusters_are_one_finding_that_names_both(self) -> None:
        (one,) = found(both(World.of(3, 1).observe(), other_world().observe()))
        assert (one.code, one.severity, one.subject.kind) == ("foreign-cluster", Severity.UNKNOWN, SubjectKind.CLUSTER)
        assert "one of 6 nodes (127.50.1.1:7000, " in one.evidence
        assert "one of 3 nodes (127.60.0.1:7000, 127.60.1.1:7000 and 127.60.2.1:7000)" in one.evidence
        assert one.hint.endswith("rcfail health -s 127.50.1.1:7000")
        said = conclude([one])
        assert (said.verdict, said.serving, said.failover_ready) == (Verdict.UNKNOWN, Known.UNKNOWN, Known.UNKNOWN)

    def test_the_first_seed_says_which_one_is_judged(self) -> None:
        ours, theirs = World.of(3, 1), other_world()
        theirs.kill("91")
        here, there = merge(both(ours.observe(), theirs.observe())), merge(both(theirs.observe(), ours.observe()))
        assert {each[:1] for each in here.nodes} == {"a", "b", "c"}
        assert {each[:1] for each in there.nodes} == {"9"}
        judged = diagnose(here, Thresholds())
        assert [each.code for each in judged] == ["foreign-cluster"], "the dead node is the other cluster's"
        assert "failover-blocked" in {each.code for each in diagnose(there, Thresholds())}

    def test_a_fault_of_the_judged_one_is_still_told(self) -> None:
        ours = World.of(3, 1)
        ours.kill("a")
        codes = {each.code for each in found(both(ours.observe(), other_world().observe()))}
        assert {"foreign-cluster", "failover-pending"} <= codes
        assert "slots-disputed" not in codes

    def test_seeds_that_are_names_leave_the_larger_one(self) -> None:
        seen = both(other_world().observe(), World.of(3, 1).observe())
        named = replace(seen, seeds=(Endpoint("redis.staging", 6379), Endpoint("redis.prod", 6379)))
        assert len(merge(named).nodes) == 6

    def test_a_cluster_of_one_node_is_a_cluster(self) -> None:
        alone = World([Member(node_id("9"), Endpoint("127.60.0.1", 7000), None, ((0, 16383),), 1)])
        assert [each.code for each in found(both(World.of(3, 1).observe(), alone.observe()))] == ["foreign-cluster"]

    @pytest.mark.parametrize("slots", [(), ((0, 5460),)])
    def test_a_node_that_is_alone_and_serves_no_cluster_is_none(self, slots: tuple[tuple[int, int], ...]) -> None:
        alone = World([Member(node_id("9"), Endpoint("127.60.0.1", 7000), None, slots, 0)])
        assert not merge(both(World.of(3, 1).observe(), alone.observe())).foreign

    def test_halves_that_forgot_each_other_are_one_cluster(self) -> None:
        world = World.of(4, 0)
        for mine, others in (("ab", "cd"), ("cd", "ab")):
            for letter in mine:
                for other in others:
                    world[letter].sees[node_id(other)] = None
        snapshot = world.snapshot()
        assert not snapshot.foreign
        assert len(snapshot.nodes) == 4

    def test_an_address_that_went_to_another_cluster(self) -> None:
        """n of ours is dead; at its address a member of the other cluster answers."""
        ours, theirs = World.of(3, 1), other_world()
        gone = ours.kill("b1")
        theirs["90"].endpoint = gone.endpoint
        seen, other = ours.observe(), theirs.observe()
        answers = tuple(
            replace(each, expected=gone.node_id if each.endpoint == gone.endpoint else each.expected)
            for each in other.answers
        )
        snapshot = merge(replace(seen, answers=(*seen.answers, *answers), silences=()))
        judged = diagnose(snapshot, Thresholds())
        one = next(each for each in judged if each.code == "foreign-cluster")
        assert f"where {gone.endpoint} (b1000000)" in one.evidence
        assert "a member of another cluster answers" in one.evidence
        assert "CLUSTER MEET" in one.consequence
        assert len(snapshot.nodes) == 6
        assert snapshot.nodes[gone.node_id].silence is not None
        assert "node-failed" in {each.code for each in judged}
        assert "slots-disputed" not in {each.code for each in judged}

    def test_the_order_of_answers_does_not_matter(self) -> None:
        seen = both(World.of(3, 1).observe(), other_world().observe())
        assert merge(replace(seen, answers=seen.answers[::-1])) == merge(seen)

    def test_one_cluster_is_left_as_it_is(self) -> None:
        seen = World.of(3, 1).observe()
        assert kin(seen) == (seen, ())
        assert kin(replace(seen, answers=())) == (replace(seen, answers=()), ())


class TestTwins:
    def twins(self, letter: str, run_id: str = "f" * 40) -> Observation:
        world = World.of(3, 1)
        seen = world.observe()
        real = next(each for each in seen.answers if each.expected == node_id(letter))
        info = (real.info or "").replace(f"run_id:{real.expected}", f"run_id:{run_id}").replace(":5000", ":7")
        return replace(seen, doubles=(replace(real, endpoint=Endpoint("127.50.9.9", 7009), info=info),))

    def test_two_processes_of_a_slot_owner_are_critical(self) -> None:
        (one,) = found(self.twins("b"))
        assert (one.code, one.severity, one.subject.id) == ("address-disputed", Severity.CRITICAL, node_id("b"))
        assert "2 processes say that they are node bbbbbbbb: 127.50.2.1:7000" in one.evidence
        assert "127.50.9.9:7009 (up for 7.0 s)" in one.evidence
        assert conclude([one]).serving is Known.NO

    def test_two_processes_of_a_replica_are_a_warning(self) -> None:
        (one,) = found(self.twins("b1"))
        assert (one.code, one.severity) == ("address-disputed", Severity.WARNING)
        said = conclude([one])
        assert (said.serving, said.redundant) == (Known.YES, Known.NO)

    def test_they_survive_the_file(self) -> None:
        seen = self.twins("b")
        assert observation_from(json.loads(json.dumps(observation_to(seen)))) == seen

    def test_an_older_record_has_none(self) -> None:
        document = json.loads(json.dumps(observation_to(self.twins("b"))))
        del document["doubles"]
        assert observation_from(document).doubles == ()


class TestAddresses:
    def disputed(self, letter: str, by: str, at: str = "10.9.9.9:7999@17999") -> World:
        world = World.of(3, 1)
        member = world[letter]
        place = f"{member.endpoint.host}:{member.endpoint.port}@{member.endpoint.port + 10000}"
        for other in world:
            if other.node_id in {node_id(each) for each in by.split()}:
                other.sees[member.node_id] = member.line(other is member).replace(place, at)
        return world

    def only(self, world: World) -> list[Finding]:
        return list(identity.address_disputed(world.snapshot(), Thresholds()))

    def test_nodes_that_list_one_elsewhere_are_named(self) -> None:
        (one,) = self.only(self.disputed("a", by="b"))
        assert (one.code, one.severity, one.subject.id) == ("address-disputed", Severity.WARNING, node_id("a"))
        assert "is listed at 2 addresses: 4 at 127.50.1.1:7000 and 1 at 10.9.9.9:7999" in one.evidence
        assert "127.50.2.1:7000 (bbbbbbbb) differs from most" in one.evidence

    def test_its_own_line_does_not_count(self) -> None:
        assert self.only(self.disputed("a", by="a")) == []

    @pytest.mark.parametrize("place", [":0@0", ":7000@17000"])
    def test_no_address_is_no_other_address(self, place: str) -> None:
        assert self.only(self.disputed("a", by="b", at=place)) == []

    def test_another_bus_port_or_host_name_is_no_other_address(self) -> None:
        assert self.only(self.disputed("a", by="b", at="127.50.1.1:7000@17000,a.example.org")) == []

    def test_where_nobody_answers_it_is_self_address_wrong(self) -> None:
        seen = self.disputed("a", by="b").observe()
        empty = Silence(Endpoint("10.9.9.9", 7999), NodeId(node_id("a")), SilenceReason.REFUSED)
        codes = [each.code for each in found(replace(seen, deserted=(empty,)))]
        assert codes == ["self-address-wrong"]

    def test_who_is_asked_over_ipv6_may_be_told_another_address(self) -> None:
        """cluster-announce-client-ipv6 of Valkey: the address depends on the asking connection."""
        seen = self.disputed("a", by="b", at="fd00::1:7000@17000").observe()
        moved = tuple(
            replace(each, endpoint=Endpoint("fd00::2", 7000)) if each.expected == node_id("b") else each
            for each in seen.answers
        )
        rules = identity.address_disputed(merge(replace(seen, answers=moved)), Thresholds())
        assert list(rules) == []

"""How each node stands, and what is found of it, on constructed clusters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.finding import Finding, Promise, Severity, SubjectKind, Thresholds
from rcfail.health.rules import nodes, visibility
from rcfail.health.standing import GHOST_AFTER_MS, Standing, standings
from rcfail.health.verdict import conclude
from tests.unit.world import NOW_UNIX_MS, Member, World, node_id

LOADING = Absence(AbsenceKind.LOADING, "LOADING Redis is loading the dataset in memory")


def found(snapshot: Snapshot) -> list[Finding]:
    """What the rules of these two themes find, above info."""
    rules = (*nodes.RULES, *visibility.RULES)
    return [each for rule in rules for each in rule(snapshot, Thresholds()) if each.severity is not Severity.INFO]


def codes(snapshot: Snapshot) -> list[tuple[str, Severity, str]]:
    """Code, severity, and the letter of the node that it is about."""
    return sorted((each.code, each.severity, _letter(each.subject.id)) for each in found(snapshot))


def _letter(subject_id: str) -> str:
    return subject_id[:1] if subject_id == subject_id[:1] * 40 else subject_id[:2]


def only(snapshot: Snapshot) -> Finding:
    """The one finding that there is."""
    (one,) = found(snapshot)
    return one


@pytest.mark.parametrize(("primaries", "replicas"), [(1, 0), (1, 1), (3, 1), (6, 2)])
def test_a_healthy_cluster_gives_nothing(primaries: int, replicas: int) -> None:
    assert found(World.of(primaries, replicas).snapshot()) == []


class TestFailed:
    def test_a_dead_replica_is_a_warning_that_costs_redundancy(self) -> None:
        world = World.of(3, 1)
        world.kill("a1")
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-failed", Severity.WARNING, node_id("a1"))
        assert "5 of 5 other nodes say fail" in one.evidence
        assert "connection refused" in one.evidence
        assert conclude([one]).redundant is Known.NO
        assert conclude([one]).serving is Known.YES

    def test_a_dead_slot_owner_is_critical_and_not_serving(self) -> None:
        world = World.of(3, 1)
        world.kill("b")
        one = only(world.snapshot())
        assert (one.code, one.severity) == ("node-failed", Severity.CRITICAL)
        assert "5461 slots (5461-10921)" in one.evidence or "5462 slots" in one.evidence
        assert conclude([one]).serving is Known.NO

    def test_an_answering_node_that_a_minority_holds_for_failed_is_a_warning(self) -> None:
        world = World.of(3, 1)
        world["a1"].sees[world["b"].node_id] = world["b"].line(flags=("fail",))
        one = only(world.snapshot())
        assert (one.code, one.severity) == ("node-failed", Severity.WARNING)
        assert "1 of 5 other nodes say fail; yet it answers us" in one.evidence


class TestSuspected:
    def test_by_one_it_is_a_warning_and_names_who(self) -> None:
        world = World.of(3, 1)
        world["a"].sees[world["b"].node_id] = world["b"].line(flags=("fail?",))
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-suspected", Severity.WARNING, node_id("b"))
        assert f"by {world['a'].endpoint} (aaaaaaaa)" in one.evidence

    def test_a_slot_owner_suspected_by_a_majority_of_voters_is_critical(self) -> None:
        world = World.of(5, 0)
        for letter in "abc":
            world[letter].sees[world["e"].node_id] = world["e"].line(flags=("fail?",))
        assert codes(world.snapshot()) == [("node-suspected", Severity.CRITICAL, "e")]

    def test_whoever_is_cut_off_suspects_everybody_and_only_it_is_reported(self) -> None:
        world = World.of(3, 1)
        world["c"].flags, world["c"].ping_sent = ("fail",), NOW_UNIX_MS - 20_000
        for member in world:
            world["c"].sees[member.node_id] = member.line(member is world["c"], flags=("fail?",))
        world["c"].sees[world["c"].node_id] = world["c"].line(True, flags=())
        assert codes(world.snapshot()) == [("bus-unreachable", Severity.CRITICAL, "c")]

    def test_two_nodes_that_suspect_each_other_are_both_reported(self) -> None:
        world = World.of(2, 0)
        for member in world:
            member.flags, member.ping_sent = ("fail?",), NOW_UNIX_MS - 9_000
        for member in world:
            member.sees[member.node_id] = member.line(True, flags=())
        assert {each.subject.id for each in found(world.snapshot())} == {node_id("a"), node_id("b")}


class TestBus:
    def cut(
        self, world: World, letter: str, flags: tuple[str, ...], ping_sent: int = 0, link: str = "connected"
    ) -> None:
        member = world[letter]
        for other in world:
            if other is not member:
                other.sees[member.node_id] = member.line(flags=flags, ping_sent=ping_sent, link=link)

    def test_a_replica_that_nobody_reaches_is_a_warning(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "a1", ("fail",), ping_sent=NOW_UNIX_MS - 9_000)
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("bus-unreachable", Severity.WARNING, node_id("a1"))
        assert "port 1" in one.evidence

    @pytest.mark.parametrize("link", ["connected", "disconnected"])
    def test_its_own_pings_keep_it_unsuspected_and_it_is_found_all_the_same(self, link: str) -> None:
        """A link is shown as connected from before it is made until long after it is broken."""
        world = World.of(3, 1)
        self.cut(world, "b", (), link=link, ping_sent=NOW_UNIX_MS - 16_000)
        assert codes(world.snapshot()) == [("bus-unreachable", Severity.WARNING, "b")]

    def test_the_first_of_all_observers_is_found_too(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "a1", (), ping_sent=NOW_UNIX_MS - 16_000)
        assert codes(world.snapshot()) == [("bus-unreachable", Severity.WARNING, "a1")]

    def test_a_link_that_waits_for_its_next_try_within_the_node_timeout_is_nothing(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "b", (), link="disconnected", ping_sent=NOW_UNIX_MS - 14_000)
        assert found(world.snapshot()) == []

    def test_a_clock_that_is_ours_alone_makes_nobody_unreachable(self) -> None:
        world = World.of(3, 1)
        for member in world:
            member.ping_sent = NOW_UNIX_MS - 100
        late = replace(world.observe(), taken_at_unix_ms=NOW_UNIX_MS + 3_600_000)
        answers = tuple(replace(each, asked_at_unix_ms=NOW_UNIX_MS + 3_600_000) for each in late.answers)
        assert found(merge(replace(late, answers=answers))) == []

    def test_a_node_restarted_just_now_is_failed_but_not_unreachable(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "b", ("fail",))
        assert codes(world.snapshot()) == [("node-failed", Severity.CRITICAL, "b")]

    def test_one_that_still_reaches_it_makes_it_a_failed_node(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "a1", ("fail",), ping_sent=NOW_UNIX_MS - 9_000)
        world["b"].sees[world["a1"].node_id] = world["a1"].line()
        assert codes(world.snapshot()) == [("node-failed", Severity.WARNING, "a1")]

    def test_a_node_that_refuses_our_password_can_be_unreachable_too(self) -> None:
        world = World.of(3, 1)
        self.cut(world, "a1", ("fail",), ping_sent=NOW_UNIX_MS - 9_000)
        world["a1"].silence = SilenceReason.AUTH_REFUSED
        assert codes(world.snapshot()) == [
            ("auth-refused", Severity.UNKNOWN, "a1"),
            ("bus-unreachable", Severity.WARNING, "a1"),
        ]


class TestSilent:
    def test_silent_to_us_and_alive_for_the_others_is_unknown(self) -> None:
        world = World.of(3, 1)
        world["b"].silence = SilenceReason.CONNECT_TIMEOUT
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-silent", Severity.UNKNOWN, node_id("b"))
        assert conclude([one]).serving is Known.UNKNOWN

    def test_a_replica_that_lost_its_link_speaks_against_a_silent_primary(self) -> None:
        world = World.of(3, 1)
        world["b"].silence = SilenceReason.REFUSED
        world["b1"].info |= {"master_link_status": "down", "master_last_io_seconds_ago": "-1"}
        one = only(world.snapshot())
        assert one.severity is Severity.UNKNOWN
        assert f"the link to it is down on {world['b1'].endpoint} (b1000000)" in one.evidence

    @pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.WARNING)])
    def test_silent_and_suspected_by_all_is_as_bad_as_failed(self, letter: str, severity: Severity) -> None:
        world = World.of(3, 1)
        world.kill(letter, agreed=False)
        assert codes(world.snapshot()) == [("node-silent", severity, letter)]

    def test_the_only_primary_is_dead_when_all_that_is_left_says_so(self) -> None:
        world = World.of(1, 1)
        world.kill("a", agreed=False)
        assert codes(world.snapshot()) == [("node-silent", Severity.CRITICAL, "a")]

    def test_silent_and_suspected_by_a_minority_is_unknown(self) -> None:
        world = World.of(5, 0)
        world["e"].silence = SilenceReason.REFUSED
        world["a"].sees[world["e"].node_id] = world["e"].line(flags=("fail?",))
        assert codes(world.snapshot()) == [("node-silent", Severity.UNKNOWN, "e")]

    def test_our_own_network_makes_one_finding_and_not_one_a_node(self) -> None:
        world = World.of(6, 1)
        for member in list(world)[1:]:
            member.silence = SilenceReason.UNREACHABLE
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.kind) == ("node-silent", Severity.UNKNOWN, SubjectKind.CLUSTER)
        assert "11 of 12 nodes do not answer us (11: there is no way to it from here)" in one.evidence

    def test_when_nobody_answers_nothing_is_known(self) -> None:
        seed = Endpoint("127.0.0.1", 7000)
        silence = Silence(seed, None, SilenceReason.REFUSED)
        one = only(merge(Observation(NOW_UNIX_MS, 1, (seed,), (), (silence,))))
        assert (one.code, one.severity) == ("node-silent", Severity.UNKNOWN)
        assert conclude([one]).serving is Known.UNKNOWN

    def test_nobody_asked_is_unknown_too(self) -> None:
        assert only(merge(Observation(NOW_UNIX_MS, 1, (), (), ()))).severity is Severity.UNKNOWN

    def test_a_dead_seed_that_nobody_lists_is_told_and_changes_no_verdict(self) -> None:
        seen = World.of(3, 1).observe()
        stray = Silence(Endpoint("127.0.0.9", 7000), None, SilenceReason.REFUSED)
        snapshot = merge(replace(seen, silences=(stray,)))
        told = [each for rule in nodes.RULES for each in rule(snapshot, Thresholds())]
        assert [(each.code, each.severity) for each in told] == [("node-silent", Severity.INFO)]

    def test_an_answer_that_broke_off_is_unknown(self) -> None:
        world = World.of(3, 1)
        world["a1"].absences[Ask.CLUSTER_NODES] = Absence(AbsenceKind.NO_ANSWER)
        one = only(world.snapshot())
        assert (one.code, one.severity) == ("node-silent", Severity.UNKNOWN)
        assert "CLUSTER NODES" in one.evidence


@pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.WARNING)])
@pytest.mark.parametrize("flags", [(), ("fail?",), ("fail",)])
def test_frozen_stays_frozen_whatever_the_others_say(letter: str, severity: Severity, flags: tuple[str, ...]) -> None:
    world = World.of(3, 1)
    world[letter].silence = SilenceReason.FROZEN
    world[letter].flags = flags
    assert codes(world.snapshot()) == [("node-frozen", severity, letter)]


def _busy(letter: str, text: str) -> Finding:
    """All findings are this one: the others hold the node for alive, for its bus goes on."""
    seen = World.of(3, 1).observe()
    lost = next(each for each in seen.answers if each.expected == node_id(letter))
    silence = Silence(lost.endpoint, lost.expected, SilenceReason.BUSY, text)
    answers = tuple(each for each in seen.answers if each is not lost)
    return only(merge(replace(seen, answers=answers, silences=(silence,))))


@pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.WARNING)])
def test_who_answers_nothing_but_busy_serves_nobody(letter: str, severity: Severity) -> None:
    one = _busy(letter, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")
    assert (one.code, one.severity, one.subject.id) == ("node-frozen", severity, node_id(letter))
    assert "answers every question with: BUSY Redis is busy running a script" in one.evidence
    assert one.hint.endswith("SCRIPT KILL")


def test_a_function_is_ended_with_another_command_than_a_script() -> None:
    text = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    assert _busy("b", text).hint.endswith("FUNCTION KILL")


class TestLoading:
    @pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.WARNING)])
    @pytest.mark.parametrize("flags", [(), ("fail",)])
    def test_it_refuses_cluster_nodes_and_is_not_failed_besides(
        self, letter: str, severity: Severity, flags: tuple[str, ...]
    ) -> None:
        world = World.of(3, 1)
        member = world[letter]
        member.flags = flags
        member.info |= {"loading": "1", "loading_eta_seconds": "40"}
        member.absences |= {Ask.CLUSTER_NODES: LOADING, Ask.CLUSTER_INFO: LOADING}
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-loading", severity, node_id(letter))
        assert "about 40 s to go" in one.evidence

    def test_valkey_lets_the_table_be_read_meanwhile(self) -> None:
        world = World.of(3, 1)
        world["b1"].info |= {"loading": "1"}
        assert codes(world.snapshot()) == [("node-loading", Severity.WARNING, "b1")]

    def test_a_replica_that_takes_a_full_copy_is_left_to_replica_syncing(self) -> None:
        world = World.of(3, 1)
        world["b1"].info |= {"loading": "1", "master_sync_in_progress": "1"}
        assert found(world.snapshot()) == []

    def test_a_loading_voter_vouches_for_nobody(self) -> None:
        world = World.of(3, 0)
        world["a"].silence = SilenceReason.REFUSED
        world["b"].absences[Ask.CLUSTER_NODES] = LOADING
        assert world.snapshot().nodes[node_id("a")].alive is Known.UNKNOWN


class TestGhost:
    def dead(self, world: World, letter: str, for_ms: int) -> None:
        world.kill(letter)
        world[letter].slots = ()
        world[letter].ping_sent = NOW_UNIX_MS - for_ms

    def test_a_dead_node_without_slots_becomes_a_ghost_after_five_minutes(self) -> None:
        world = World.of(3, 1)
        self.dead(world, "c1", GHOST_AFTER_MS - 1000)
        assert codes(world.snapshot()) == [("node-failed", Severity.WARNING, "c1")]
        self.dead(world, "c1", GHOST_AFTER_MS + 1000)
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-ghost", Severity.WARNING, node_id("c1"))
        assert "no sign of life for 5 min" in one.evidence
        assert "rcfail recover --forget 127.50." in one.hint

    def test_an_observer_restarted_since_counts_from_then_and_the_others_prove_it(self) -> None:
        world = World.of(3, 1)
        self.dead(world, "c1", 2 * GHOST_AFTER_MS)
        world["a"].sees[node_id("c1")] = world["c1"].line(ping_sent=0, pong_received=NOW_UNIX_MS - 2_000)
        assert [each.code for each in found(world.snapshot())] == ["node-ghost"]

    def test_a_slot_owner_never_is_one(self) -> None:
        world = World.of(3, 1)
        world.kill("c").ping_sent = NOW_UNIX_MS - 2 * GHOST_AFTER_MS
        assert codes(world.snapshot()) == [("node-failed", Severity.CRITICAL, "c")]

    def test_one_half_forgotten_is_one_finding(self) -> None:
        world = World.of(3, 1)
        self.dead(world, "c1", 2 * GHOST_AFTER_MS)
        world["a"].sees[node_id("c1")] = None
        one = only(world.snapshot())
        assert one.code == "node-ghost"
        assert "1 node forgot it already" in one.evidence


class TestAddressLost:
    def lose(self, world: World, letter: str, flags: tuple[str, ...]) -> Member:
        member = world[letter]
        member.silence = SilenceReason.NO_ADDRESS
        member.flags = flags
        gone = member.line().replace(
            f"{member.endpoint.host}:{member.endpoint.port}@{member.endpoint.port + 10000}", ":0@0"
        )
        for other in world:
            other.sees[member.node_id] = gone
        return member

    @pytest.mark.parametrize("flags", [("noaddr",), ("fail", "noaddr")])
    def test_of_a_slot_owner_is_critical_on_every_version(self, flags: tuple[str, ...]) -> None:
        world = World.of(3, 1)
        self.lose(world, "b", flags)
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-noaddr", Severity.CRITICAL, node_id("b"))
        assert conclude([one]).serving is Known.NO

    def test_of_a_replica_is_a_warning(self) -> None:
        world = World.of(3, 1)
        self.lose(world, "b1", ("noaddr",))
        assert codes(world.snapshot()) == [("node-noaddr", Severity.WARNING, "b1")]

    def test_its_slots_count_as_lost_although_a_stranger_claims_them_for_itself(self) -> None:
        """A process that lost its nodes.conf and kept its keys claims their slots with epoch 0; nobody follows."""
        world = World.of(3, 0)
        lost = self.lose(world, "b", ("noaddr",))
        stranger = Member(node_id("e"), lost.endpoint, slots=lost.slots, epoch=0)
        seen, alone = world.observe(), World([stranger]).observe().answers[0]
        answers = (*seen.answers, replace(alone, expected=None))
        snapshot = merge(replace(seen, answers=answers))
        # A claim of somebody whom no other node lists does not count: clients are sent to the lost address.
        assert snapshot.nodes[node_id("b")].slots == lost.slots
        assert snapshot.nodes[node_id("e")].slots == ()
        assert codes(snapshot) == [("node-id-changed", Severity.WARNING, "e"), ("node-noaddr", Severity.CRITICAL, "b")]

    def test_nobody_vouches_for_a_node_without_an_address(self) -> None:
        world = World.of(3, 1)
        self.lose(world, "b", ("noaddr",))
        assert world.snapshot().nodes[node_id("b")].alive is Known.NO

    def test_a_stranger_at_a_seed_beside_a_lost_address_is_one_changed_id(self) -> None:
        world = World.of(3, 1)
        lost = self.lose(world, "b1", ("noaddr",))
        stranger = Member(node_id("e"), lost.endpoint)
        alone = World([stranger]).observe().answers[0]
        seen = world.observe()
        snapshot = merge(replace(seen, answers=(*seen.answers, replace(alone, expected=None))))
        assert codes(snapshot) == [("node-id-changed", Severity.WARNING, "e"), ("node-noaddr", Severity.WARNING, "b1")]


class TestIdentity:
    def answered_by(self, world: World, letter: str, other: NodeId) -> Snapshot:
        """The node's address is answered by a node that knows nobody."""
        member = world[letter]
        alone = World([Member(other, member.endpoint)]).observe().answers[0]
        member.silence = SilenceReason.REFUSED
        seen = world.observe()
        answers = (*seen.answers, replace(alone, expected=member.node_id))
        return merge(replace(seen, answers=answers, silences=()))

    @pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.WARNING)])
    def test_another_id_at_a_known_address(self, letter: str, severity: Severity) -> None:
        world = World.of(3, 1)
        snapshot = self.answered_by(world, letter, node_id("e"))
        assert codes(snapshot) == [("node-id-changed", severity, letter)]
        assert standings(snapshot)[node_id(letter)] is Standing.REPLACED

    def test_two_members_at_one_address(self) -> None:
        world = World.of(3, 1)
        world["b1"].endpoint = world["b"].endpoint
        world["b1"].silence = SilenceReason.ANOTHER_NODE
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.address) == (
            "node-duplicate-address",
            Severity.WARNING,
            str(world["b"].endpoint),
        )
        assert "bbbbbbbb answers there" in one.evidence


class TestDesertedAddress:
    def announcing(self, letter: str, listed_by: str = "abc") -> Snapshot:
        """A node that answers at its own address, while others list it at another one, where nobody is."""
        world = World.of(3, 1)
        member, seen = world[letter], world[letter].endpoint
        elsewhere = Endpoint("10.9.9.9", 7999)
        for other in world:
            if other is not member and other.node_id[0] in listed_by:
                other.sees[member.node_id] = member.line().replace(f"{seen.host}:{seen.port}@", "10.9.9.9:7999@")
        empty = Silence(elsewhere, member.node_id, SilenceReason.REFUSED, "connection refused")
        return merge(replace(world.observe(), deserted=(empty,)))

    def test_a_slot_owner_that_most_list_there_may_be_out_of_reach_for_all_clients(self) -> None:
        one = only(self.announcing("b"))
        assert (one.code, one.severity, one.subject.id) == ("self-address-wrong", Severity.UNKNOWN, node_id("b"))
        assert "5 of 5 other nodes list it at 10.9.9.9:7999: nothing listens there" in one.evidence
        assert conclude([one]).serving is Known.UNKNOWN

    def test_a_minority_that_lists_it_there_is_a_warning(self) -> None:
        one = only(self.announcing("b", listed_by="a"))
        assert (one.code, one.severity) == ("self-address-wrong", Severity.WARNING)
        assert "2 of 5 other nodes list it" in one.evidence
        assert conclude([one]).serving is Known.YES

    def test_a_replica_costs_readiness(self) -> None:
        one = only(self.announcing("b1"))
        assert (one.code, one.severity) == ("self-address-wrong", Severity.WARNING)
        assert (conclude([one]).serving, conclude([one]).failover_ready) == (Known.YES, Known.NO)

    def test_where_nobody_else_lists_it_there_nobody_is_sent_there(self) -> None:
        snapshot = self.announcing("b", listed_by="")
        assert snapshot.deserted
        assert found(snapshot) == []


class TestMembership:
    def test_one_that_one_forgot_names_who_does_not_know_whom(self) -> None:
        world = World.of(3, 1)
        world["b"].sees[node_id("a1")] = None
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("node-unknown-to-some", Severity.WARNING, node_id("a1"))
        assert f"{world['b'].endpoint} (bbbbbbbb) does not know {world['a1'].endpoint} (a1000000)" in one.evidence

    def test_two_halves_are_one_finding(self) -> None:
        world = World.of(4, 0)
        halves = ("ab", "cd")
        for mine, others in (halves, halves[::-1]):
            for letter in mine:
                for other in others:
                    world[letter].sees[node_id(other)] = None
        one = only(world.snapshot())
        assert (one.code, one.subject.kind) == ("node-unknown-to-some", SubjectKind.CLUSTER)

    def test_one_that_is_alone_is_one_finding_about_it(self) -> None:
        world = World.of(3, 1)
        for member in world:
            if member is not world["c1"]:
                member.sees[node_id("c1")] = None
                world["c1"].sees[member.node_id] = None
        one = only(world.snapshot())
        assert (one.code, one.subject.id) == ("node-unknown-to-some", node_id("c1"))
        assert "none of the others knows" in one.evidence

    def test_handshakes_are_counted_by_address_because_their_ids_are_made_up(self) -> None:
        def meeting(ids: str) -> Finding:
            world = World.of(3, 1)
            for observer, made_up in zip("ab", ids, strict=True):
                line = f"{node_id(made_up)} 127.9.9.9:7000@17000 handshake - {NOW_UNIX_MS} 0 0 connected"
                world[observer].extra_lines = (line,)
            return only(world.snapshot())

        one, later = meeting("89"), meeting("67")
        assert (one.code, one.severity, one.subject.address) == ("node-handshake", Severity.WARNING, "127.9.9.9:7000")
        assert "is being met by 2 of 6 nodes" in one.evidence
        assert one.key == later.key


def test_no_finding_that_stands_for_a_silence_can_pass_by_itself() -> None:
    """Otherwise a node whose trouble changes its name between two rounds is in no finding at all."""
    dead = ("node-failed", "node-frozen", "node-silent", "node-noaddr", "node-ghost", "node-id-changed")
    unseen = ("clients-full", "auth-refused", "bus-unreachable", "node-loading", "node-duplicate-address")
    assert [code for code in (*dead, *unseen) if BY_CODE[code].passing] == []


def test_every_finding_names_a_next_command_and_a_consequence() -> None:
    world = World.of(5, 1)
    world.kill("a1")
    world.kill("b", agreed=False)
    world["c"].silence = SilenceReason.FROZEN
    world["d"].silence = SilenceReason.CLIENTS_FULL
    world["e"].silence = SilenceReason.AUTH_REFUSED
    world["d1"].silence = SilenceReason.NO_TIME
    for each in found(world.snapshot()):
        assert "redis-cli " in each.hint or "rcfail " in each.hint, each
        assert each.consequence[0].isupper(), each
        assert each.consequence.endswith("."), each
        assert set(each.impairs or BY_CODE[each.code].impairs) <= set(Promise)

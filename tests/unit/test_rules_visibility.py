"""What we cannot see: refused clients, credentials and questions, unreadable answers, odd clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Finding, Severity, SubjectKind, Thresholds
from rcfail.health.rules import nodes, visibility
from rcfail.health.standing import Standing, held_for_dead, standings
from rcfail.health.verdict import Verdict, conclude
from tests.unit.world import NOW_UNIX_MS, World, node_id

NOPERM = "NOPERM User rcfail-ro has no permissions to run the 'config|get' command"
SERVE_NOBODY = (Standing.FROZEN, Standing.FAILED, Standing.GHOST)


def found(snapshot: Snapshot) -> list[Finding]:
    rules = (*nodes.RULES, *visibility.RULES)
    return [each for rule in rules for each in rule(snapshot, Thresholds())]


def only(snapshot: Snapshot) -> Finding:
    (one,) = found(snapshot)
    return one


@pytest.mark.parametrize(("letter", "severity"), [("b", Severity.CRITICAL), ("b1", Severity.UNKNOWN)])
def test_a_full_node_is_critical_where_it_owns_slots_and_unseen_elsewhere(letter: str, severity: Severity) -> None:
    world = World.of(3, 1)
    world[letter].silence = SilenceReason.CLIENTS_FULL
    one = only(world.snapshot())
    assert (one.code, one.severity, one.subject.id) == ("clients-full", severity, node_id(letter))
    assert conclude([one]).serving is not Known.YES


class TestAuth:
    def test_one_that_refuses_what_the_others_take_is_named(self) -> None:
        world = World.of(3, 1)
        world["a1"].silence = SilenceReason.AUTH_REFUSED
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("auth-refused", Severity.UNKNOWN, node_id("a1"))
        assert "that 5 other nodes take" in one.evidence
        assert "ACL LIST" in one.hint

    def test_refused_everywhere_is_one_finding_and_asks_for_a_password(self) -> None:
        places = [Endpoint("127.0.0.1", port) for port in (7000, 7001)]
        text = "WRONGPASS invalid username-password pair or user is disabled."
        silences = tuple(Silence(place, None, SilenceReason.AUTH_REFUSED, text) for place in places)
        one = only(merge(Observation(NOW_UNIX_MS, 1, tuple(places), (), silences)))
        assert (one.code, one.severity, one.subject.kind) == ("auth-refused", Severity.UNKNOWN, SubjectKind.CLUSTER)
        assert text in one.evidence
        assert "RCFAIL_PASSWORD" in one.hint

    def test_refused_by_many_is_one_finding(self) -> None:
        world = World.of(3, 1)
        for letter in ("a1", "b1", "c1", "c"):
            world[letter].silence = SilenceReason.AUTH_REFUSED
        one = only(world.snapshot())
        assert one.subject.kind is SubjectKind.CLUSTER
        assert "4 nodes refuse our credentials" in one.evidence
        assert "2 take them" in one.evidence


class TestNotPermitted:
    @pytest.mark.parametrize("ask", [Ask.INFO, Ask.CLUSTER_INFO, Ask.CLUSTER_NODES, Ask.CONFIG])
    @pytest.mark.parametrize("kind", [AbsenceKind.NOT_PERMITTED, AbsenceKind.REFUSED, AbsenceKind.UNSUPPORTED])
    def test_what_a_verdict_rests_on_is_unknown_and_names_node_and_permission(
        self, ask: Ask, kind: AbsenceKind
    ) -> None:
        world = World.of(3, 1)
        world["b"].absences[ask] = Absence(kind, NOPERM)
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.id) == ("not-permitted", Severity.UNKNOWN, node_id("b"))
        assert f"refuse us {ask}" in one.evidence
        assert "ACL SETUSER rcfail-ro '+" in one.hint or "ACL SETUSER rcfail-ro +" in one.hint
        assert conclude([one]).failover_ready is Known.UNKNOWN

    @pytest.mark.parametrize("ask", [Ask.CLUSTER_LINKS, Ask.SLOT_MIGRATIONS])
    def test_what_is_only_good_to_have_is_info(self, ask: Ask) -> None:
        world = World.of(3, 1)
        world["b"].absences[ask] = Absence(AbsenceKind.NOT_PERMITTED, NOPERM)
        one = only(world.snapshot())
        assert (one.code, one.severity) == ("not-permitted", Severity.INFO)
        assert conclude([one]).verdict is Verdict.OK

    @pytest.mark.parametrize("kind", [AbsenceKind.UNSUPPORTED, AbsenceKind.NOT_ASKED])
    def test_what_the_version_does_not_have_is_nothing(self, kind: AbsenceKind) -> None:
        world = World.of(3, 1)
        for member in world:
            member.absences = {Ask.CLUSTER_LINKS: Absence(kind), Ask.SLOT_MIGRATIONS: Absence(kind)}
        assert found(world.snapshot()) == []

    def test_the_same_refusal_of_all_nodes_is_one_finding(self) -> None:
        world = World.of(3, 1)
        for member in world:
            member.absences = {
                ask: Absence(AbsenceKind.NOT_PERMITTED, NOPERM) for ask in (Ask.CONFIG, Ask.CLUSTER_LINKS)
            }
        unknown, info = sorted(found(world.snapshot()), key=lambda each: each.severity, reverse=True)
        assert (unknown.severity, unknown.subject.kind) == (Severity.UNKNOWN, SubjectKind.CLUSTER)
        assert "6 of 6 nodes" in unknown.evidence
        assert info.severity is Severity.INFO

    def test_a_loading_node_that_was_not_asked_further_refuses_nothing(self) -> None:
        world = World.of(3, 1)
        loading = Absence(AbsenceKind.LOADING, "LOADING Redis is loading the dataset in memory")
        world["b"].info |= {"loading": "1"}
        world["b"].absences = {Ask.CLUSTER_NODES: loading, Ask.CONFIG: Absence(AbsenceKind.NOT_ASKED)}
        assert [each.code for each in found(world.snapshot())] == ["node-loading"]


class TestMalformed:
    def test_a_broken_line_is_unknown_and_told(self) -> None:
        world = World.of(3, 1)
        world["b"].extra_lines = ("0123456789abcdef 127.0.0.1:1@2 slave - 0 0 0 connecte",)
        one = only(world.snapshot())
        assert (one.code, one.severity, one.subject.kind) == ("reply-malformed", Severity.UNKNOWN, SubjectKind.VIEW)
        assert "CLUSTER NODES line 7" in one.evidence

    def test_a_field_that_does_not_parse_is_unknown(self) -> None:
        world = World.of(3, 1)
        world["b"].info["maxclients"] = "many"
        assert "field maxclients: 'many'" in only(world.snapshot()).evidence

    def test_a_reply_of_another_form_is_unknown(self) -> None:
        world = World.of(3, 1)
        world["b"].absences[Ask.CLUSTER_INFO] = Absence(AbsenceKind.MALFORMED, "an array")
        assert only(world.snapshot()).code == "reply-malformed"

    def test_a_table_without_its_own_line_is_unknown(self) -> None:
        world = World.of(3, 1)
        world["b"].sees[node_id("b")] = world["b"].line()
        assert "no line of the node itself" in only(world.snapshot()).evidence

    def test_the_same_trouble_everywhere_is_one_finding(self) -> None:
        world = World.of(3, 1)
        for member in world:
            member.extra_lines = ("rubbish",)
        assert only(world.snapshot()).subject.kind is SubjectKind.CLUSTER


class TestClocks:
    def shifted(self, **by_ms: int) -> Snapshot:
        world = World.of(3, 1)
        for letter, milliseconds in by_ms.items():
            world[letter].info["server_time_usec"] = str((NOW_UNIX_MS + milliseconds) * 1000)
        return world.snapshot()

    def test_a_node_whose_clock_is_off_is_told_and_changes_no_verdict(self) -> None:
        one = only(self.shifted(b=-90_000))
        assert (one.code, one.severity) == ("clock-skew", Severity.INFO)
        assert "(bbbbbbbb) by -90 s" in one.evidence
        assert conclude([one]).verdict is Verdict.OK

    def test_within_five_seconds_is_nothing(self) -> None:
        assert found(self.shifted(b=4_900, c=-4_900)) == []

    def test_our_own_odd_clock_blames_nobody(self) -> None:
        everybody = dict.fromkeys(("a", "a1", "b", "b1", "c", "c1"), 3_600_000)
        assert found(self.shifted(**everybody)) == []

    def test_a_slow_answer_widens_what_is_allowed(self) -> None:
        seen = World.of(3, 1).observe()
        slow = replace(seen.answers[0], took_ms=8_000, asked_at_unix_ms=NOW_UNIX_MS - 12_500)
        assert found(merge(replace(seen, answers=(slow, *seen.answers[1:])))) == []


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Clusters of all kinds, healthy and not, every node answering."""
    world = World.of(draw(st.integers(1, 5)), draw(st.integers(0, 2)))
    members = list(world)
    for member in draw(st.lists(st.sampled_from(members), max_size=3)):
        flaw = draw(st.sampled_from(["suspected", "failed", "forgotten", "full", "state", "claims", "link", "oom"]))
        other = draw(st.sampled_from(members))
        if flaw in ("suspected", "failed"):
            flag = "fail?" if flaw == "suspected" else "fail"
            other.sees[member.node_id] = member.line(other is member, flags=(flag,), ping_sent=NOW_UNIX_MS - 9_000)
        elif flaw == "forgotten" and other is not member:
            other.sees[member.node_id] = None
        elif flaw == "full":
            member.flags = ("fail",)
        elif flaw == "state":
            member.cluster_info["cluster_state"] = "fail"
        elif flaw == "claims":
            member.sees[member.node_id] = member.line(True, primary=None, slots=((0, 100),), epoch=99)
        elif flaw == "link":
            member.info |= {"master_link_status": "down", "master_last_io_seconds_ago": "-1"}
        else:
            member.info |= {"maxmemory": "1000", "used_memory": "2000000"}
    return world


REASONS = [reason for reason in SilenceReason if reason is not SilenceReason.ANOTHER_NODE]


def silenced(seen: Observation, quiet: Mapping[Endpoint, SilenceReason]) -> Observation:
    """The same round, with some answers replaced by silences."""
    gone = [answer for answer in seen.answers if answer.endpoint in quiet]
    silences = tuple(Silence(_place(each, quiet), each.expected, quiet[each.endpoint], waited_ms=9) for each in gone)
    return replace(seen, answers=tuple(each for each in seen.answers if each not in gone), silences=silences)


def _place(answer: Answer, quiet: Mapping[Endpoint, SilenceReason]) -> Endpoint | None:
    return None if quiet[answer.endpoint] is SilenceReason.NO_ADDRESS else answer.endpoint


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_silence_never_makes_a_verdict_ok_nor_a_promise_kept(data: st.DataObject) -> None:
    """Whatever is silent, and however: the verdict is not OK, and nothing that was not yes becomes yes.

    One thing is let through: a node that the others hold for dead, or that takes connections and never
    answers, tells nothing because it serves nobody, so serving and the rest are judged without its word.
    """
    seen = data.draw(worlds()).observe()
    places = [answer.endpoint for answer in seen.answers]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, unique=True))
    quiet = {place: data.draw(st.sampled_from(REASONS)) for place in chosen}
    snapshot = merge(silenced(seen, quiet))
    after = conclude(diagnose(snapshot, Thresholds()))

    assert after.verdict is not Verdict.OK
    gone = [snapshot.nodes[each.expected] for each in snapshot.silences if each.expected]
    stands = standings(snapshot)
    dead = [
        each
        for each in gone
        if each.alive is Known.NO or held_for_dead(snapshot, each) or stands[each.node_id] in SERVE_NOBODY
    ]
    if len(dead) < len(gone):
        assert Known.YES not in (after.serving, after.redundant, after.failover_ready)
    if any(stands[each.node_id] is not Standing.GHOST for each in gone):
        assert after.redundant is not Known.YES
    if any(each.slots for each in gone):
        assert after.serving is not Known.YES


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_silence_of_a_known_node_is_in_a_finding_that_cannot_pass(data: st.DataObject) -> None:
    """By the node's own id, or in a line about several. Also when the others flag it in any way."""
    seen = data.draw(worlds()).observe()
    chosen = data.draw(st.lists(st.sampled_from([each.endpoint for each in seen.answers]), min_size=1, unique=True))
    quiet = {place: data.draw(st.sampled_from(REASONS)) for place in chosen}
    snapshot = merge(silenced(seen, quiet))
    told = [each for each in found(snapshot) if each.severity is not Severity.INFO]
    lasting = [each for each in told if not BY_CODE[each.code].passing]
    about = {each.subject.id for each in lasting}
    for silence in snapshot.silences:
        several = any(each.subject.kind is SubjectKind.CLUSTER for each in lasting)
        assert silence.expected in about or several, silence


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_refused_question_never_leaves_the_verdict_ok(data: st.DataObject) -> None:
    world = data.draw(worlds())
    member = data.draw(st.sampled_from(list(world)))
    ask = data.draw(st.sampled_from([Ask.INFO, Ask.CLUSTER_INFO, Ask.CLUSTER_NODES, Ask.CONFIG]))
    member.absences[ask] = Absence(data.draw(st.sampled_from(list(AbsenceKind))), "whatever")
    assert conclude(found(world.snapshot())).verdict is not Verdict.OK

"""`rcfail ready`: verdicts, words, JSON, monitors. The checks are given here; real ones are asked in tests/real."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rcfail.change import candidates
from rcfail.change import readiness as judging
from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.pause import graceful_pause_ms
from rcfail.change.readiness import Answer, Readiness, readiness
from rcfail.change.request import Mode, Override, Request
from rcfail.change.seen import Seen
from rcfail.change.target import CannotMove, NotMeant, meant_shards
from rcfail.cluster.merge import merge
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known
from rcfail.cluster.zones import ZoneLabels
from rcfail.commands.ready import outcome_of
from rcfail.exits import ExitCode
from rcfail.health.diagnose import diagnose
from rcfail.health.finding import Thresholds
from rcfail.health.manner import PLAIN, Manner
from rcfail.health.verdict import Verdict
from rcfail.render.lines import plain
from rcfail.render.nagios import status_line
from rcfail.render.outcome import ClusterName, Outcome, Trouble
from rcfail.render.prometheus import exposition
from rcfail.render.ready_page import ready_page
from tests.unit.golden import assert_golden
from tests.unit.running import rcfail, recorded
from tests.unit.test_render_nagios import read
from tests.unit.test_render_prometheus import Metrics
from tests.unit.world import World, node_id

Capsys = pytest.CaptureFixture[str]
A, A1, B, C = node_id("a"), node_id("a1"), node_id("b"), node_id("c")

PASS = Check("target-role", CheckVerdict.PASS, "it is a replica of the primary")
ALIVE = Check("primary-alive", CheckVerdict.FAIL, "the primary lives and serves", Override.DATA_LOSS)
DEAD = Check("primary-alive", CheckVerdict.FAIL, "the primary does not answer", Override.DATA_LOSS)
LAGS = Check("lag", CheckVerdict.FAIL, "it is 9 MB behind", Override.MAX_LAG)
NO_VOTES = Check("votes", CheckVerdict.FAIL, "1 of the 2 voters that it needs: only takeover can work")
FENCED = Check("fenced", CheckVerdict.FAIL, "nobody says that the lost voters are stopped", Override.FENCED)
UNSEEN = Check("data", CheckVerdict.UNKNOWN, "it does not tell how old its data is")
COOLDOWN = Check("cooldown", CheckVerdict.FAIL, "it stood for election 4 s ago", Override.WAIT_COOLDOWN)
WARNED = Check("load", CheckVerdict.WARN, "it forks for a snapshot now")

Table = dict[tuple[NodeId, Mode], tuple[Check, ...]]
Judge = Callable[..., Readiness]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Readiness of a world, where the preflight says what a table says, and else that all is well while it serves."""

    def judge(
        world: World, table: Table | None = None, *, only: tuple[NodeId, ...] | None = None, wait_ms: int | None = None
    ) -> Readiness:  # fmt: skip
        def preflight(seen: Seen, request: Request) -> tuple[Check, ...]:
            serves = seen.snapshot.nodes[request.primary].view is not None
            usual = (PASS,) if serves is (request.mode is Mode.GRACEFUL) else (PASS, ALIVE if serves else DEAD)
            return (table or {}).get((request.primary, request.mode), usual)

        def retry_after_ms(seen: Seen, request: Request) -> int | None:
            return wait_ms if COOLDOWN in preflight(seen, request) else None

        monkeypatch.setattr(candidates, "preflight", preflight)
        monkeypatch.setattr(judging, "retry_after_ms", retry_after_ms)
        snapshot = world.snapshot()
        seen = {each.primary_id: Seen(snapshot, snapshot, (0.4, 0.5, 0.4), ()) for each in snapshot.shards}
        return readiness(snapshot, seen, diagnose(snapshot, Thresholds()), only)

    return judge


def ready_outcome(world: World) -> Outcome:
    """The answer for a world, with the real checks."""
    snapshot = world.snapshot()
    seen = {each.primary_id: Seen(snapshot, snapshot, (0.4, 0.5, 0.4), ()) for each in snapshot.shards}
    return outcome_of(readiness(snapshot, seen, diagnose(snapshot, Thresholds())), PLAIN)


def page(ready: Readiness, *, show_all: bool = False, manner: Manner = PLAIN) -> str:
    text = plain(ready_page(ready, 80, manner, show_all))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    return text


def dead_replica() -> World:
    world = World.of(3, 1)
    world.kill("a1")
    return world


def dead_primary(replicas: int = 1) -> World:
    world = World.of(3, replicas)
    world.kill("a")
    return world


def two_dead() -> World:
    world = World.of(3, 1)
    world.kill("a")
    world.kill("b")
    return world


LOST: Table = {
    (primary, mode): checks
    for primary in (A, B)
    for mode, checks in ((Mode.GRACEFUL, (DEAD,)), (Mode.FORCE, (NO_VOTES,)), (Mode.TAKEOVER, (FENCED,)))
}


def test_a_healthy_cluster_is_ready(judge: Judge) -> None:
    ready = judge(World.of(3, 1))
    assert (ready.verdict, ready.total, len(ready.shards)) == (Verdict.OK, 3, 3)
    for shard in ready.shards:
        assert [each.answer for each in shard.modes] == [Answer.YES, Answer.CONSENT, Answer.CONSENT]
        assert shard.mode(Mode.FORCE).needs == (Override.DATA_LOSS,)
        assert (shard.survives_crash, shard.out) == (Known.YES, False)
        assert (shard.votes.standing, shard.votes.voters, shard.votes.needed) == (3, 3, 2)
    assert_golden("ready_ok", page(ready))


def test_a_shard_without_a_replica_that_lives_serves_and_is_not_ready(judge: Judge) -> None:
    gone = Check("data", CheckVerdict.FAIL, "the replica is down")
    ready = judge(dead_replica(), {(A, mode): (gone,) for mode in Mode})
    assert ready.verdict is Verdict.WARNING
    assert [each.verdict for each in ready.shards] == [Verdict.WARNING, Verdict.OK, Verdict.OK]
    assert ready.shards[0].survives_crash is Known.NO
    assert ready.shards[0].best.mode is Mode.GRACEFUL
    assert_golden("ready_dead_replica", page(ready))


def test_a_shard_without_any_replica(judge: Judge) -> None:
    world = World.of(3, 1)
    del world.members[A1]
    ready = judge(world)
    shard = ready.shards[0]
    assert (shard.verdict, shard.graceful.answer, shard.graceful.candidate) == (Verdict.WARNING, Answer.NO, None)
    assert "the shard has no replica" in page(ready)


def test_a_dead_primary_is_critical_until_somebody_leads(judge: Judge) -> None:
    ready = judge(dead_primary())
    shard = ready.shards[0]
    assert (ready.verdict, shard.verdict, shard.out) == (Verdict.CRITICAL, Verdict.CRITICAL, True)
    assert shard.best.mode is Mode.FORCE
    text = page(ready)
    assert "5461 slots (0-5460) are out: an automatic failover is due within" in text
    assert "rcfail health --wait 60s" in text
    assert_golden("ready_dead_primary", text)


def test_without_a_majority_only_takeover_is_left(judge: Judge) -> None:
    ready = judge(two_dead(), LOST)
    assert (ready.verdict, ready.quorum) == (Verdict.CRITICAL, Known.NO)
    shard = ready.shards[0]
    assert (shard.mode(Mode.FORCE).answer, shard.mode(Mode.TAKEOVER).answer) == (Answer.NO, Answer.CONSENT)
    assert shard.mode(Mode.TAKEOVER).needs == (Override.FENCED,)
    text = page(ready)
    assert text.startswith("CRITICAL  no majority: 1 of 3 voters stand together, 2 are needed")
    assert "only takeover can bring them back" in " ".join(text.split())
    assert "--takeover --dry-run" in " ".join(text.split())
    assert_golden("ready_no_majority", text)


def test_voters_that_may_live_beyond_a_cut_are_not_taken_for_dead(judge: Judge) -> None:
    """A takeover here, while they serve there, would be two primaries for one slot: so it is not what comes first."""
    world = two_dead()
    for each in ("a", "b"):
        world[each].silence = SilenceReason.CONNECT_TIMEOUT
    text = " ".join(page(judge(world, LOST)).split())
    assert "no majority on the side that we see" in text
    assert "127.50.1.1:7000 (aaaaaaaa) and 127.50.2.1:7000 (bbbbbbbb) may serve beyond a cut" in text
    assert "Look from a host that reaches 127.50.1.1:7000" in text
    assert "--takeover --dry-run" not in text


def test_what_cannot_be_told_is_unknown_and_never_ok(judge: Judge) -> None:
    ready = judge(World.of(3, 1), {(A, Mode.GRACEFUL): (PASS, UNSEEN)})
    assert (ready.verdict, ready.shards[0].graceful.answer) == (Verdict.UNKNOWN, Answer.UNKNOWN)
    world = World.of(3, 1)
    world["a1"].silence = SilenceReason.CONNECT_TIMEOUT
    silent = judge(world, {(A, Mode.GRACEFUL): (PASS,)})
    assert silent.shards[0].survives_crash is Known.UNKNOWN
    assert silent.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(("checks", "answer"), [
    ((PASS,), Answer.YES),
    ((PASS, WARNED), Answer.YES),
    ((PASS, LAGS), Answer.CONSENT),
    ((LAGS, UNSEEN), Answer.UNKNOWN),
    ((LAGS, NO_VOTES), Answer.NO),
    ((UNSEEN, NO_VOTES), Answer.NO),
    ((Check("observer", CheckVerdict.UNKNOWN, "?", Override.THIS_HOST),), Answer.UNKNOWN),
    ((Check("lag", CheckVerdict.FAIL, "let pass", Override.MAX_LAG, overridden=True),), Answer.YES),
])  # fmt: skip
def test_the_answer_follows_from_the_checks(judge: Judge, checks: tuple[Check, ...], answer: Answer) -> None:
    assert judge(World.of(3, 1), {(A, Mode.GRACEFUL): checks}).shards[0].graceful.answer is answer


def test_a_cooldown_is_told_with_its_end(judge: Judge) -> None:
    ready = judge(World.of(3, 1), {(A, Mode.GRACEFUL): (PASS, COOLDOWN)}, wait_ms=3400)
    assert ready.verdict is Verdict.WARNING
    text = " ".join(page(ready).split())
    assert "a graceful failover would be refused: it stood for election 4 s ago" in text
    assert "cooldown 3.4 s" in text
    assert "works in 3.4 s; or let it wait: rcfail failover 127.50.2.1:8000 --wait-cooldown" in text
    assert ready.shards[0].best.answer is Answer.CONSENT


def test_copies_in_one_place_are_a_warning_with_healths_words(judge: Judge) -> None:
    world = World.of(3, 1)
    world["a1"].endpoint = world["a1"].endpoint._replace(host="127.50.1.1")
    ready = judge(world)
    assert [each.verdict for each in ready.shards] == [Verdict.WARNING, Verdict.OK, Verdict.OK]
    assert "all 2 copies of 5461 slots" in " ".join(page(ready).split())


def test_a_warning_of_a_check_is_told_and_does_not_count(judge: Judge) -> None:
    ready = judge(World.of(3, 1), {(A, Mode.GRACEFUL): (PASS, WARNED)})
    assert ready.verdict is Verdict.OK
    assert "but it forks for a snapshot now" in " ".join(page(ready).split())


def test_two_primaries_survive_no_crash(judge: Judge) -> None:
    ready = judge(World.of(2, 1))
    assert ready.verdict is Verdict.WARNING
    assert "with 2 voters each of them is needed to elect anybody" in " ".join(page(ready).split())


def test_slots_without_an_owner_are_critical_for_the_whole_and_not_for_a_shard(judge: Judge) -> None:
    world = World.of(3, 1)
    world["a"].slots = ((1, 5460),)
    world["b"].config |= {"cluster-require-full-coverage": "no"}
    ready = judge(world)
    assert (ready.verdict, ready.unowned) == (Verdict.CRITICAL, ((0, 0),))
    assert "1 slot (0) have no owner" in page(ready)


def test_only_what_was_named_counts(judge: Judge) -> None:
    gone = Check("data", CheckVerdict.FAIL, "the replica is down")
    table: Table = {(A, mode): (gone,) for mode in Mode}
    assert judge(dead_replica(), table, only=(B, C)).verdict is Verdict.OK
    one = judge(dead_replica(), table, only=(A,))
    assert (one.verdict, len(one.shards), one.total) == (Verdict.WARNING, 1, 3)
    assert page(judge(dead_replica(), table, only=(C,))).startswith("OK  the one shard of 3 is ready")


def test_without_slots_nothing_is_ready(judge: Judge) -> None:
    world = World.of(3, 0)
    for each in world:
        each.slots = ()
    ready = judge(world)
    assert ready.verdict in (Verdict.UNKNOWN, Verdict.CRITICAL)
    assert "no primary owns slots" in page(ready)


def test_a_large_cluster_is_told_in_rows(judge: Judge) -> None:
    world = World.of(12, 1)
    world.kill("a1")
    gone = Check("data", CheckVerdict.FAIL, "the replica is down")
    ready = judge(world, {(A, mode): (gone,) for mode in Mode})
    assert_golden("ready_large", page(ready))
    assert page(ready, show_all=True).count("graceful ") >= 12


def test_of_very_many_good_shards_some_are_shown(judge: Judge) -> None:
    text = page(judge(World.of(30, 1)))
    assert text.count("  OK  ") == 20
    assert "and 10 more" in text
    assert text.startswith("OK  all 30 shards are ready")


def test_the_next_commands_reach_the_same_cluster(judge: Judge) -> None:
    text = " ".join(page(judge(two_dead(), LOST), manner=Manner("-c prod", "")).split())
    assert "rcfail failover -c prod 127.50.2.1:8000 --takeover --dry-run" in text


def as_checked(world: World) -> Readiness:
    found = ready_outcome(world).readiness
    assert found is not None
    return found


def yeses(ready: Readiness) -> set[tuple[NodeId, str]]:
    """What would be sent, in which shard and mode, and which crashes are survived."""
    modes = {
        (each.primary, mode.mode.value) for each in ready.shards for mode in each.modes if mode.answer is Answer.YES
    }
    return modes | {(each.primary, "crash") for each in ready.shards if each.survives_crash is Known.YES}


ORDER = (Verdict.OK, Verdict.WARNING, Verdict.UNKNOWN, Verdict.CRITICAL)


@pytest.mark.parametrize("make", [lambda: World.of(3, 1), lambda: World.of(3, 2), dead_replica, dead_primary, two_dead])
@pytest.mark.parametrize("silent", ["a", "a1", "b", "b1", "c", "c1"])
def test_a_silence_in_place_of_a_view_adds_no_yes_and_never_makes_it_ok(make: Callable[[], World], silent: str) -> None:
    """With the real checks: what is not seen is not taken to be well."""
    before = as_checked(make())
    world = make()
    world[silent].silence = world[silent].silence or SilenceReason.CONNECT_TIMEOUT
    after = as_checked(world)
    assert yeses(after) <= yeses(before)
    if before.verdict is not Verdict.OK:
        assert after.verdict is not Verdict.OK
    of_shard = next(each for each in after.shards if silent[0] * 40 == each.primary)
    if len(make().members) == 6:
        assert of_shard.verdict is not Verdict.OK, "its only replica, or its primary, is not seen"


def test_a_healthy_world_is_ready_for_the_real_checks() -> None:
    assert as_checked(World.of(3, 1)).verdict is Verdict.OK


READY = {"summary", "quorum", "slots_unowned", "findings", "shards_total", "shards"}
QUORUM = {"voters", "standing", "needed", "answer"}
SHARD = {
    "primary", "slots", "slot_count", "verdict", "serving", "cause", "hint", "findings", "candidate", "lag_bytes",
    "votes", "graceful_pause_ms", "modes", "crash",
}  # fmt: skip
MODE = {"answer", "candidate", "needs", "at_risk_bytes", "cooldown_left_ms", "preflight", "others"}
OTHER = {"id", "address", "refused", "for", "against"}
CRASH = {"survived", "elected", "outage_ms", "behind_bytes", "reasons"}


def test_the_json_has_its_keys_in_sickness_and_in_health(judge: Judge) -> None:
    for ready in (judge(World.of(3, 2)), judge(dead_replica()), judge(two_dead(), LOST)):
        data = json.loads(json.dumps(outcome_of(ready, PLAIN).data()))
        assert data.keys() == READY
        assert data["quorum"].keys() == QUORUM
        for shard in data["shards"]:
            assert shard.keys() == SHARD
            assert shard["modes"].keys() == {"graceful", "force", "takeover"}
            assert all(mode.keys() == MODE for mode in shard["modes"].values())
            assert all(other.keys() == OTHER for mode in shard["modes"].values() for other in mode["others"])
            assert shard["crash"].keys() == CRASH


def test_the_json_of_a_cluster_without_a_majority(judge: Judge) -> None:
    data = outcome_of(judge(two_dead(), LOST), PLAIN).data()
    assert data["quorum"] == {"voters": 3, "standing": 1, "needed": 2, "answer": "no"}
    shard = data["shards"][0]
    assert (shard["verdict"], shard["serving"], shard["primary"]) == (
        "critical",
        False,
        {"id": A, "address": "127.50.1.1:7000"},
    )
    assert shard["modes"]["force"]["answer"] == "no"
    takeover = shard["modes"]["takeover"]
    assert (takeover["answer"], takeover["needs"]) == ("with-consent", ["--confirm-fenced"])
    assert takeover["preflight"][0]["override"] == "--confirm-fenced"
    assert shard["crash"]["survived"] == "no"


@pytest.mark.parametrize(("world", "code"), [
    (World.of(3, 1), 0),
    (World.of(2, 1), 1),
    (dead_primary(), 2),
])  # fmt: skip
def test_nagios_and_prometheus(judge: Judge, world: World, code: int) -> None:
    outcome = outcome_of(judge(world), PLAIN)
    assert outcome.exit_code == code
    said = read(status_line(outcome, 0.25))
    assert said.state == ("OK", "WARNING", "CRITICAL", "UNKNOWN")[code]
    assert said.data["shards_ready"] == str(sum(each.verdict is Verdict.OK for each in judge(world).shards))
    assert said.data["shards_out"] == str(int(code == 2))
    assert "time" in said.data
    metrics = Metrics(exposition(outcome, 0.25, 1_790_000_000.0))
    assert metrics.the("rcfail_ready_up") == 1
    assert metrics.the("rcfail_ready_run_exit_code") == code
    assert metrics.the("rcfail_ready_verdict", verdict=("ok", "warning", "critical", "unknown")[code]) == 1
    assert sum(value for _, value in metrics.all_of("rcfail_ready_verdict")) == 1
    assert metrics.the("rcfail_ready_shard_out", primary_id=A) == int(code == 2)
    graceful = metrics.the("rcfail_ready_shard_mode", primary_id=B, mode="graceful", answer="yes")
    assert graceful == 1
    assert all(name.startswith("rcfail_ready_") for name in metrics.families), "health writes the others"


def test_monitors_are_also_told_that_nothing_was_seen() -> None:
    outcome = Outcome(
        "ready", ExitCode.UNKNOWN, lambda _: (), dict, verdict="unknown", cluster=ClusterName(seeds=("10.0.0.5:6379",)),
        errors=(Trouble("cannot-see", "nobody answers"),),
    )  # fmt: skip
    said = read(status_line(outcome, 0.25))
    assert (said.state, said.text) == ("UNKNOWN", "nobody answers")
    assert said.data["shards_ready"] == "U"
    metrics = Metrics(exposition(outcome, 0.25, 1_790_000_000.0))
    assert (metrics.the("rcfail_ready_up"), metrics.the("rcfail_ready_verdict", verdict="unknown")) == (0, 1)


def test_the_labels_of_nagios_are_the_same_in_every_run(judge: Judge) -> None:
    blind = Outcome("ready", ExitCode.UNKNOWN, lambda _: (), dict, errors=(Trouble("x", "y"),))
    seen = outcome_of(judge(World.of(3, 1)), PLAIN)
    assert read(status_line(blind, 0.1)).data.keys() == read(status_line(seen, 0.1)).data.keys()


@pytest.mark.parametrize(
    ("words", "primaries"),
    [
        ([], None),
        (["aaaa"], (A,)),
        (["a100", "127.50.2.1:7000"], (A, B)),
        (["slot:0", "16383"], (A, C)),
        (["127.50.1.1"], (A, C)),
        (["zone:east"], (A, C)),
    ],
)
def test_what_a_shard_is_named_by(words: list[str], primaries: tuple[NodeId, ...] | None) -> None:
    snapshot = merge(World.of(3, 1).observe(), ZoneLabels((("127.50.1.1", "east"),)))
    found = meant_shards(snapshot, words)
    assert (None if found is None else set(found)) == (None if primaries is None else set(primaries))


def test_words_that_name_no_shard() -> None:
    world = World.of(3, 1)
    world["a1"].primary = None
    with pytest.raises(NotMeant, match="nowhere is no node, host or zone"):
        meant_shards(world.snapshot(), ["nowhere"])
    with pytest.raises(NotMeant, match="there is no slot 16384"):
        meant_shards(world.snapshot(), ["slot:16384"])
    with pytest.raises(CannotMove, match="a100 is in no shard that owns slots"):
        meant_shards(world.snapshot(), ["a100"])


def test_a_record_is_not_asked(capsys: Capsys, tmp_path: Path) -> None:
    ran = rcfail(capsys, "ready", "--from-record", recorded(World.of(3, 1), tmp_path), "-o", "json")
    assert ran.code == ExitCode.USAGE
    assert "live servers" in ran.error["message"]
    assert "rcfail health --from-record" in ran.error["hint"]


def pause(world: World, before: World | None = None) -> tuple[int, int]:
    snapshot = world.snapshot()
    return graceful_pause_ms(Seen(snapshot, before.snapshot() if before else None, (1.0, 2.0)), A1)


def at(offset: int, primary: int, version: str = "8.2.3") -> World:
    world = World.of(3, 1)
    world.version = version
    world["a"].info |= {"master_repl_offset": str(primary)}
    world["a1"].info |= {"slave_repl_offset": str(offset), "master_repl_offset": str(offset)}
    return world


def test_how_long_writes_wait() -> None:
    least, most = pause(at(5000, 5000))
    assert 0 == least < most <= 500
    assert pause(at(0, 10_000_000))[1] == 5000, "nobody knows how fast it catches up: as long as the attempt lasts"
    assert pause(at(5000, 5000, "6.2.7")) == (10_000, 10_000), "these hold writes back to the end"
    assert pause(at(5000, 5000, "6.2.8"))[1] <= 500

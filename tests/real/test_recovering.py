"""The loop of a recovery on real servers, with a planner of the test's own: what it sends, and when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rcfail.change.recover.action import Action, ActionKind, Losing, Send
from rcfail.change.recover.case import Case
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.doctor import Planner
from rcfail.change.recover.expect import Answers, Follows, HoldsNothing, InSync, KnownToAll
from rcfail.change.recover.recovery import Recovery
from rcfail.change.request import Override
from rcfail.change.run import Moment, StepOutcome
from rcfail.change.told import Turn
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.errors import Declined
from rcfail.exits import ExitCode
from rcfail.health.standing import strangers
from rcfail.practice.lab.register import NodeEntry
from rcfail.runs.examining import Ways, Wish
from rcfail.runs.moving import at_site
from rcfail.runs.recovering import recover
from rcfail.settings.sections import Limits, Settings, Target
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab

pytestmark = pytest.mark.filterwarnings("error")


@dataclass
class Talk:
    """An operator who says yes, and remembers what he was told."""

    told: list[str] = field(default_factory=list)
    shown: list[Recovery] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    at_moment: Callable[[Moment], None] = lambda _: None
    slow: bool = False

    @property
    def ways(self) -> Ways:
        return Ways(
            self._consent,
            lambda _, moment: self.at_moment(moment),
            self.told.append,
            lambda _, __: None,
            lambda: False,
            nullcontext,
            lambda: None,
        )

    def _consent(self, planned: Recovery) -> bool:
        self.shown.append(planned)
        self.meanwhile()
        return self.slow


def stray(case: Case, _: frozenset[NodeId]) -> Iterator[Condition]:
    """A lone node is met and follows the one primary that has no replica."""
    snapshot = case.snapshot
    primary = next((each for each in snapshot.shards if each.slots and not _followers(snapshot, each.primary_id)), None)
    if primary is None:
        return
    leader = snapshot.nodes[primary.primary_id]
    lone = [*strangers(snapshot), *(each for each in snapshot.nodes.values() if _spare(each))]
    for node in lone[:1]:
        yield _back(snapshot, node, leader)


def _followers(snapshot: Snapshot, primary: NodeId) -> list[Node]:
    return [
        each for each in snapshot.nodes.values() if each.view and each.view.own and each.view.own.primary_id == primary
    ]


def _spare(node: Node) -> bool:
    own = node.view.own if node.view else None
    return own is not None and own.primary_id is None and not own.slots


def _back(snapshot: Snapshot, node: Node, leader: Node) -> Condition:
    assert node.endpoint
    assert leader.endpoint
    meet = Action(
        ActionKind.MEET,
        node.node_id,
        "introduce it",
        (KnownToAll(node.node_id),),
        (Send(leader.node_id, leader.endpoint, ("CLUSTER", "MEET", node.endpoint.host, str(node.endpoint.port))),),
        guards=(Answers(node.node_id, node.endpoint),),
    )
    follow = Action(
        ActionKind.REPLICATE,
        node.node_id,
        "let it follow",
        (Follows(node.node_id, leader.node_id), InSync(node.node_id)),
        (Send(node.node_id, node.endpoint, ("CLUSTER", "REPLICATE", leader.node_id)),),
        aims=(leader.node_id,),
        guards=(HoldsNothing(node.node_id),),
        within_ms=60_000,
    )
    known = node.node_id in {
        each
        for view in snapshot.views
        if view.reply
        for each in view.reply.table.by_id
        if view.observer != node.node_id
    }
    return Condition(
        ConditionCode.RESET,
        (node.node_id,),
        node.label,
        "it stands alone",
        "It is brought back.",
        (follow,) if known else (meet, follow),
    )


STRAY = Planner(stray)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def run(lab: RunningLab, state: Path, wish: Wish, talk: Talk) -> Recovery:
    settings = Settings(Target(lab.entry.seeds), Limits(20.0, 2.0, 5.0))
    with at_site(settings, state / "audit.jsonl") as site:
        return recover(site, wish, talk.ways)


def broken(lab: RunningLab) -> NodeEntry:
    """The replica of the first primary stands alone under a new id (the old one would be banned), its shard bare."""
    lone = lab.replica_of(lab.primaries[0])
    lab.reset(lone, hard=True)
    return lab.node(lone.name)


def cluster_calls(lab: RunningLab) -> dict[str, dict[str, str]]:
    """By the servers' own statistics: the calls of CLUSTER sub-commands that change something."""
    found = {}
    for node in lab.nodes:
        rows = lab.text(node, "INFO", "commandstats").splitlines()
        found[node.name] = {
            row.partition(":")[0]: row.partition("calls=")[2].partition(",")[0]
            for row in rows
            if row.startswith(("cmdstat_cluster|meet", "cmdstat_cluster|replicate", "cmdstat_cluster|forget"))
        }
    return found


def test_a_plan_of_two_steps_heals_and_is_then_nothing_to_do(lab: LabMaker, state: Path) -> None:
    one = lab(3, 1, node_timeout_ms=3000, conf=("cluster-allow-replica-migration no",))
    lone = broken(one)
    one.say(one.primaries[0], "SET", "{06S}k", "v")
    before, talk = cluster_calls(one), Talk()
    wish = Wish("recover", STRAY)
    dry = run(one, state, replace(wish, dry_run=True), talk)
    assert (dry.turn, dry.exit_code, len(dry.actions)) == (Turn.ALLOWED, ExitCode.OK, 2)
    assert cluster_calls(one) == before
    assert not talk.shown
    done = run(one, state, wish, talk)
    assert (done.exit_code, [each.outcome for each in done.runs]) == (ExitCode.OK, [StepOutcome.DONE] * 2), done
    assert one.belief(lone, lone).primary_id == one.primaries[0].node_id
    assert Path(done.record).stat().st_size > 0
    assert done.record in " ".join(talk.told)
    again = run(one, state, wish, talk)
    assert (again.turn, again.exit_code) == (Turn.NOTHING, ExitCode.OK)
    assert len(talk.shown) == 1, "nobody is asked where nothing is to be done"


@pytest.mark.parametrize("after", [1, 2])
def test_cut_off_after_a_step_it_goes_on_from_there(lab: LabMaker, state: Path, after: int) -> None:
    """Ctrl-C at the first moment after a send."""
    one = lab(3, 1, node_timeout_ms=3000, conf=("cluster-allow-replica-migration no",))
    lone, sent = broken(one), [0]

    def interrupt(moment: Moment) -> None:
        sent[0] += moment.event == "sent"
        if sent[0] == after and moment.event == "sent":
            raise KeyboardInterrupt

    first = run(one, state, Wish("recover", STRAY), Talk(at_moment=interrupt))
    assert first.exit_code in (ExitCode.INDETERMINATE, ExitCode.INCOMPLETE, ExitCode.OK), first
    assert len(first.runs) == after
    one.wait(lambda: one.lists(one.primaries[1], lone), "it is met", 60)
    done = run(one, state, Wish("recover", STRAY), Talk())
    assert done.exit_code is ExitCode.OK, done
    one.wait(lambda: one.belief(lone, lone).primary_id == one.primaries[0].node_id, "it follows", 60)


def test_what_nobody_said_yes_to_is_not_done(lab: LabMaker, state: Path) -> None:
    """While the operator thinks another node falls out: the plan is another one then."""
    one = lab(3, 1, node_timeout_ms=3000, conf=("cluster-allow-replica-migration no",))
    lone = broken(one)

    def meanwhile() -> None:
        one.say(one.primaries[0], "CLUSTER", "MEET", lone.host, lone.port)
        one.wait(lambda: one.lists(one.primaries[2], lone) and one.lists(lone, one.primaries[2]), "it is known", 60)
        one.wait(lambda: not one.belief(one.primaries[2], lone).handshake, "it is met", 60)
        one.say(one.replica_of(one.primaries[1]), "CLUSTER", "REPLICATE", one.primaries[0].node_id)

    stopped = run(one, state, Wish("recover", STRAY), Talk(meanwhile=meanwhile, slow=True))
    assert stopped.exit_code is ExitCode.REFUSED, stopped
    assert "was not in the plan" in stopped.stopped
    assert not any(each.sent for each in stopped.runs)
    assert one.belief(lone, lone).primary_id is None


def test_a_permission_that_lacks_on_one_node_is_found_before_the_first_step(lab: LabMaker, state: Path) -> None:
    one = lab(3, 1, node_timeout_ms=3000, conf=("cluster-allow-replica-migration no",))
    lone = broken(one)
    one.say(lone, "ACL", "SETUSER", "default", "-cluster|replicate")
    before = cluster_calls(one)
    refused = run(one, state, Wish("recover", STRAY), Talk())
    assert refused.exit_code is ExitCode.REFUSED
    [check] = [each for each in refused.checks if each.refuses]
    assert check.code == "permitted"
    assert f"CLUSTER REPLICATE at {lone.host}:{lone.port}" in check.evidence
    assert {name: calls.get("cmdstat_cluster|meet") for name, calls in cluster_calls(one).items()} == {
        name: _one_more(calls.get("cmdstat_cluster|meet"), name == one.primaries[0].name)
        for name, calls in before.items()
    }
    dry = run(one, state, replace(Wish("recover", STRAY), dry_run=True), Talk())
    assert [each.code for each in dry.checks if each.refuses] == ["permitted"]


def _one_more(calls: str | None, asked: bool) -> str | None:
    """The one question whether it may, that the server refuses whatever it says."""
    return str(int(calls or 0) + 1) if asked else calls


def losing(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    for each in stray(case, taken):
        lost = Losing(each.nodes[0], 7, 0)
        yield replace(each, actions=tuple(replace(action, loses=(lost,)) for action in each.actions[-1:]))


def test_the_only_copy_needs_its_own_consent(lab: LabMaker, state: Path) -> None:
    one = lab(3, 1, node_timeout_ms=3000, conf=("cluster-allow-replica-migration no",))
    broken(one)
    wish = Wish("recover", Planner(losing))
    refused = run(one, state, wish, Talk())
    assert [(each.code, each.override) for each in refused.checks if each.refuses] == [("data", Override.DATA_LOSS)]
    allowed = replace(wish, decisions=replace(wish.decisions, given=frozenset({Override.DATA_LOSS})))

    def no() -> None:
        raise Declined("no")

    with pytest.raises(Declined):
        run(one, state, allowed, talk := Talk(meanwhile=no))
    assert talk.shown[0].keys_lost == 7

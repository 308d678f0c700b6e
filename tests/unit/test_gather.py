"""What a failover is judged by: what is asked, in which order, and what is kept where no answer comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import pytest

from rcfail.change.audit import Audit
from rcfail.change.gather import BETWEEN_S, asked, gather
from rcfail.change.locks.owner import myself
from rcfail.change.seen import ReplicaConnection, Seen
from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.observation import Observation, SilenceReason
from rcfail.cluster.zones import ZoneLabels
from rcfail.wire.door import Door
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply
from tests.unit.scripted import ScriptedClock, ScriptedSight
from tests.unit.world import World, node_id

A, A1, B1 = node_id("a"), node_id("a1"), node_id("b1")
NO_ANSWER = Refusal(RefusalKind.NO_ANSWER, "silent")
LIST = (
    "id=7 addr=127.50.2.1:41234 laddr=127.50.1.1:7000 fd=9 name= age=77 idle=0 flags=S db=0\n"
    "id=8 addr=[::1]:41235 laddr=[::1]:7000 fd=10 name= age=5 idle=0 flags=S db=0\n"
)


@dataclass
class FakeDoor:
    """Answers each command with what the script says, and takes its time for it."""

    clock: ScriptedClock
    replies: dict[str, list[Reply]]
    takes_s: list[float] = field(default_factory=lambda: [0.001] * 9)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    opened: list[Endpoint] = field(default_factory=list)
    closed: int = 0

    def open(self, endpoint: Endpoint, *, deadline: Deadline) -> Self:
        assert not deadline.passed()
        self.opened.append(endpoint)
        return self

    def read(self, commands: Iterable[tuple[str, ...]]) -> tuple[Reply, ...]:
        (command,) = commands
        self.asked.append(command)
        self.clock.now_s += self.takes_s.pop(0)
        return (self.replies[command[0]].pop(0),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.closed += 1


class Scene:
    """One cluster, seen once or twice, and a primary that answers what it is asked."""

    def __init__(self, *looks: Observation, pings: list[Reply] | None = None, clients: Reply = LIST) -> None:
        self.clock = ScriptedClock()
        self.sight = ScriptedSight(self.clock, *(looks or (World.of().observe(),)))
        self.fake = FakeDoor(self.clock, {"PING": pings or ["PONG"] * 3, "CLIENT": [clients]})

    @property
    def door(self) -> Door:
        return cast(Door, self.fake)

    def gather(self, path: Path | None = None, *, within_s: float = 8.0, labels: ZoneLabels | None = None) -> Seen:
        return gather(
            self.sight,
            self.door,
            A,
            clock=self.clock,
            deadline=Deadline.after(within_s, self.clock),
            audit_path=path,
            labels=labels or ZoneLabels(()),
        )


def test_it_looks_twice_and_asks_the_primary_between_the_two() -> None:
    earlier, later = World.of(), World.of()
    later["b"].cluster_info |= {"cluster_current_epoch": "9"}
    scene = Scene(earlier.observe(), later.observe())
    seen = scene.gather()
    assert (scene.sight.first_looks, scene.sight.later_looks) == (1, 1)
    assert seen.before is not None
    assert [view.vitals.cluster.current_epoch for view in seen.before.views if view.observer == node_id("b")] == [3]
    assert [view.vitals.cluster.current_epoch for view in seen.snapshot.views if view.observer == node_id("b")] == [9]
    assert scene.fake.opened == [earlier["a"].endpoint]
    assert scene.fake.asked == [("PING",)] * 3 + [("CLIENT", "LIST", "TYPE", "replica")]
    assert scene.fake.closed == 1


def test_the_pings_are_measured_one_by_one() -> None:
    scene = Scene()
    scene.fake.takes_s = [0.001, 0.75, 0.002, 0.3]
    assert scene.gather().pings_ms == pytest.approx((1.0, 750.0, 2.0))


def test_the_two_looks_are_apart_and_no_longer_than_needed() -> None:
    scene = Scene()
    scene.gather()
    assert scene.clock.slept == [pytest.approx(BETWEEN_S - 4 * 0.001)]
    slow = Scene()
    slow.fake.takes_s = [0.2, 0.001, 0.001, 0.001]
    slow.gather()
    assert sum(slow.clock.slept) == 0


def test_a_ping_without_an_answer_is_none_and_no_short_time() -> None:
    assert Scene(pings=["PONG", NO_ANSWER, NO_ANSWER]).gather().pings_ms[1:] == (None, None)


def test_a_server_that_may_not_answer_but_does_has_answered() -> None:
    """NOPERM came at once: the primary is as quick as with PONG."""
    no = Refusal(RefusalKind.NOT_PERMITTED, "NOPERM this user has no permissions to run the 'ping' command")
    assert None not in Scene(pings=[no] * 3).gather().pings_ms


def test_a_silent_primary_is_asked_nothing_more() -> None:
    world = World.of()
    world["a"].silence = SilenceReason.FROZEN
    scene = Scene(world.observe())
    seen = scene.gather()
    assert (seen.pings_ms, seen.connections, scene.fake.opened) == ((), None, [])


def test_the_replicas_connections_are_read_with_their_ages() -> None:
    assert Scene().gather().connections == (
        ReplicaConnection("127.50.2.1:41234", 77),
        ReplicaConnection("[::1]:41235", 5),
    )


@pytest.mark.parametrize("clients", [NO_ANSWER, 7, None, ["a"]])
def test_a_list_that_cannot_be_had_is_none_and_not_empty(clients: Reply) -> None:
    assert Scene(clients=clients).gather().connections is None


@pytest.mark.parametrize("line", ["", "nonsense", "addr= age=3", "addr=1.2.3.4:5", "addr=1.2.3.4:5 age=-1",
                                  "addr=1.2.3.4:5 age=99999999999999999999", "addr=1.2.3.4:5 age=1e3"])  # fmt: skip
def test_a_line_that_cannot_be_read_gives_no_age(line: str) -> None:
    assert Scene(clients=f"{line}\nid=1 addr=9.9.9.9:1 age=4\n").gather().connections == (
        ReplicaConnection("9.9.9.9:1", 4),
    )


def test_without_time_for_a_second_look_there_is_none() -> None:
    scene = Scene()
    scene.fake.takes_s = [3.0, 3.0, 3.0, 3.0]
    seen = scene.gather(within_s=5.0)
    assert seen.before is None
    assert scene.sight.later_looks == 0


def test_a_place_has_its_zone_in_both_looks() -> None:
    seen = Scene().gather(labels=ZoneLabels((("127.50.1.1", "east"),)))
    assert seen.before is not None
    assert [each.nodes[A].zone for each in (seen.snapshot, seen.before)] == ["east", "east"]


# Past elections


def sent(path: Path, node: NodeId) -> None:
    audit = Audit(path, myself("a test", 1_700_000_000_000))
    audit.begin(command="failover", nodes=[A, A1], plan={})
    audit.before(step=1, node=node, address="127.50.2.1:8000", command=("CLUSTER", "FAILOVER"))
    audit.after(step=1, node=node, reply="OK", left=True)
    audit.end(exit_code=0)
    assert audit.trouble == ""


def test_what_the_audit_tells_of_this_shard_is_kept_and_of_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sent(path, A1)
    sent(path, B1)
    seen = Scene().gather(path)
    assert [each.node for each in seen.stood] == [A1]
    assert seen.stood_unread == ""


def test_an_audit_that_is_not_there_yet_tells_of_no_election(tmp_path: Path) -> None:
    seen = Scene().gather(tmp_path / "audit.jsonl")
    assert (seen.stood, seen.stood_unread) == ((), "")


def test_no_audit_and_one_that_cannot_be_read_are_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    assert Scene().gather(None).stood_unread == "there is no audit"
    (tmp_path / "audit.jsonl").mkdir()
    unread = Scene().gather(tmp_path / "audit.jsonl")
    assert unread.stood == ()
    assert unread.stood_unread


def test_a_node_that_nobody_knows_is_asked_nothing() -> None:
    scene = Scene()
    deadline = Deadline.after(8.0, scene.clock)
    assert asked(scene.door, World.of().snapshot(), node_id("9"), scene.clock, deadline) == ((), None)
    assert scene.fake.opened == []

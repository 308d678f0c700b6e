"""The follower over real sockets, on servers that speak for a constructed cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rcfail.change.after.follow import Follower
from rcfail.change.after.followed import Followed
from rcfail.change.plan import plan_failover
from rcfail.change.request import Request
from rcfail.change.run import Moment, StepOutcome
from rcfail.clock import SYSTEM_CLOCK
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply
from tests.unit.test_follow import NEW, OLD, counters, promote
from tests.unit.wire_servers import Behaviour, serving, speaker
from tests.unit.wire_world import Servers, answer_of
from tests.unit.world import Member, World


def behaviour(world: World, member: Member) -> Behaviour:
    """As a real one: any section of INFO, and PONG."""

    def answer(words: list[str]) -> bytes:
        if words[0] == "PING":
            return b"+PONG\r\n"
        return answer_of(world, member, ["INFO"] if words[0] == "INFO" else words)

    return speaker(answer)


@contextmanager
def followed(world: World, told: list[Moment]) -> Iterator[tuple[Follower, Servers]]:
    servers = Servers(world)
    servers.behaviours = {each.node_id: behaviour(world, each) for each in world}
    snapshot = world.snapshot()
    step = plan_failover(snapshot, Request(NEW, OLD)).steps[0]
    door = Door(bounds=Bounds(connect_s=1.0, read_s=1.0))
    with serving(*servers.all), Follower(door, snapshot, step, told.append, SYSTEM_CLOCK) as follower:
        follower.prepare()
        yield follower, servers


def run(world: World, told: list[Moment], reply: Reply = "OK") -> Followed:
    with followed(world, told) as (follower, _):
        promote(world)
        counters(world, "a1", mfstart_sent=1)
        return follower.follow(SYSTEM_CLOCK.monotonic_s(), reply)


def evidence(found: Followed, code: str) -> str:
    return next(each.evidence for each in found.checks if each.code == code)


def test_it_is_verified_in_all_views() -> None:
    told: list[Moment] = []
    found = run(World.of(3, 1), told)
    assert (found.outcome, found.ours) == (StepOutcome.DONE, True)
    assert [each.event for each in told] == ["requested", "promoted", "seen", "demoted", "linked", "settled"]
    assert "6 of 6 views" in evidence(found, "seen-by-all")


def test_without_an_answer_it_is_looked_at_all_the_same() -> None:
    told: list[Moment] = []
    found = run(World.of(3, 1), told, Refusal(RefusalKind.SENT_NO_ANSWER, "reset"))
    assert found.outcome is StepOutcome.DONE
    assert "requested" not in [each.event for each in told]


def test_somebody_else_at_an_address_is_not_the_node() -> None:
    """Its table may say whatever it likes: it is another node's."""
    world = World.of(3, 1)
    told: list[Moment] = []
    with followed(world, told) as (follower, servers):
        stranger, member = world["c"], world["b"]
        servers.behaviours[member.node_id] = behaviour(world, stranger)
        for call in servers[member].calls:
            call.sock.shutdown(2)
        promote(world)
        counters(world, "a1", mfstart_sent=1)
        found = follower.follow(SYSTEM_CLOCK.monotonic_s(), "OK")
    assert found.outcome is StepOutcome.DONE
    assert "5 of 5 views" in evidence(found, "seen-by-all")
    assert f"no view from {member.endpoint}" in evidence(found, "seen-by-all")


def test_an_interrupted_follower_looks_over_new_connections() -> None:
    world = World.of(3, 1)
    with followed(world, []) as (follower, servers):
        before = len(servers[world["a1"]].calls)
        promote(world)
        counters(world, "a1", mfstart_sent=1)
        found = follower.look_now(SYSTEM_CLOCK.monotonic_s())
        assert found.outcome is StepOutcome.DONE
        assert len(servers[world["a1"]].calls) > before


def test_an_interrupted_follower_says_what_can_still_come() -> None:
    with followed(World.of(3, 1), []) as (follower, _):
        found = follower.look_now(SYSTEM_CLOCK.monotonic_s())
    assert found.outcome is StepOutcome.INDETERMINATE
    assert "is not promoted so far" in found.why

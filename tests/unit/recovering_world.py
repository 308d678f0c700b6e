"""What a planner is asked with, on a constructed cluster: the answers to its own questions, counted by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rcfail.change.recover.case import NO_DECISIONS, Case, Decisions, Question
from rcfail.wire.replies import Reply
from tests.unit.world import World


def slot_case(
    world: World,
    questions: Callable[[Case], Iterable[Question]],
    keys: Mapping[str, Mapping[int, int | None]] | None = None,
    *,
    moving: str = "",
    decisions: Decisions = NO_DECISIONS,
) -> Case:
    """`keys` are the keys that each member counts of a slot, 0 where nothing is said; None: it does not answer that.

    `moving` is the member that moved keys a moment ago.
    """
    before = Case(world.snapshot(), decisions=decisions)
    by_place = {member.endpoint: member for member in world}
    replies: dict[Question, Reply] = {}
    for asked in questions(before):
        member = by_place[asked.place]
        if asked.command[0] == "INFO":
            sockets = int(bool(moving) and member is world[moving])
            replies[asked] = f"# Stats\r\nevicted_keys:0\r\nmigrate_cached_sockets:{sockets}\r\nslave_expires:0\r\n"
            continue
        assert asked.command[:2] == ("CLUSTER", "COUNTKEYSINSLOT")
        held = next((held for name, held in (keys or {}).items() if member is world[name]), {})
        count = held.get(int(asked.command[2]), 0)
        if count is not None:
            replies[asked] = count
    return Case(before.snapshot, decisions=decisions, replies=replies)

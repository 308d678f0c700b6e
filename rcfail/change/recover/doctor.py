"""All planners in the order of recovery: what is wrong, and everything that mends it, from one case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.contact import addresses, apart, forgotten
from rcfail.change.recover.members import ghosts, handshakes, replaced
from rcfail.change.recover.nodes import down, returned
from rcfail.change.recover.replicas import bare, links, misplaced
from rcfail.change.recover.shards import lost
from rcfail.change.recover.slots import claims, open_slots
from rcfail.cluster.nouns import NodeId


def _nothing(_: Case) -> Iterable[Question]:
    return ()


class Planner(NamedTuple):
    """`conditions` gets the nodes that earlier planners named as subjects, and leaves them alone. `questions` are what
    it needs to know besides; they are asked all at once, and are in the case when `conditions` is called.
    """

    conditions: Callable[[Case, frozenset[NodeId]], Iterable[Condition]]
    questions: Callable[[Case], Iterable[Question]] = _nothing


# First who can hear whom, then who owns what, then who follows whom; who is forgotten comes last.
PLANNERS: tuple[Planner, ...] = (
    Planner(apart.conditions, apart.questions),
    Planner(addresses.conditions, addresses.questions),
    Planner(down.conditions),
    Planner(lost.conditions),
    Planner(claims.conditions, claims.questions),
    Planner(open_slots.conditions, open_slots.questions),
    Planner(replaced.conditions, replaced.questions),
    Planner(returned.conditions, returned.questions),
    Planner(misplaced.conditions, misplaced.questions),
    Planner(links.conditions, links.questions),
    Planner(bare.conditions),
    Planner(handshakes.conditions, handshakes.questions),
    Planner(ghosts.conditions, ghosts.questions),
    Planner(forgotten.conditions, forgotten.questions),
)


def questions(case: Case, planners: tuple[Planner, ...] = PLANNERS) -> tuple[Question, ...]:
    """All that the planners want to know besides, each once."""
    return tuple(dict.fromkeys(each for planner in planners for each in planner.questions(case)))


def conditions(case: Case, planners: tuple[Planner, ...] = PLANNERS) -> tuple[Condition, ...]:
    """Everything that is wrong and that a recovery knows, in the order in which it is mended."""
    return tuple(_conditions(case, planners))


def _conditions(case: Case, planners: tuple[Planner, ...]) -> Iterator[Condition]:
    taken: frozenset[NodeId] = frozenset()
    for planner in planners:
        found = tuple(planner.conditions(case, taken))
        taken |= {each.nodes[0] for each in found if each.nodes}
        # What they lack follows from that, as far as anybody can tell: they are judged anew once they hear each other.
        taken |= {node for each in found if each.code is ConditionCode.NODES_APART for node in each.nodes}
        yield from found


def within(found: Iterable[Condition], scope: frozenset[NodeId] | None) -> tuple[Condition, ...]:
    """Those that are about any of these nodes; None: all."""
    return tuple(each for each in found if scope is None or not scope.isdisjoint(each.nodes))

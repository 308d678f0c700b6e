"""The `data` of drain, undrain and layout in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rcfail.change.many.layout import Difference, Seat, WrittenLayout, layout_data
from rcfail.change.many.moves import Stuck, plan_of
from rcfail.change.many.relocation import Relocation
from rcfail.change.many.site import Afterwards
from rcfail.render.failover_json import candidates_data, change_data, check_data


def relocation_data(told: Relocation) -> Mapping[str, Any]:
    steps = told.series.steps if told.series is not None else ()
    plan = plan_of(told.snapshot, told.moves) if told.moves else None
    return {
        "result": told.turn.value,
        "goal": told.goal,
        **change_data(told.snapshot, plan, (), steps),
        "preflight": [
            {"step": number, "primary": primary, **check_data(check)}
            for number, primary, checks in _checked(told)
            for check in checks
        ],
        "stuck": [_stuck(each) for each in told.stuck],
        "after": _after(told.after) if told.after is not None else None,
        "candidates": {primary: candidates_data(told.snapshot, each) for primary, each in told.others.items()},
        "differences": [difference_data(each) for each in told.differences],
        "stopped": (told.series.stopped or None) if told.series is not None else None,
    }


def _checked(told: Relocation) -> list[tuple[int | None, str, tuple[Any, ...]]]:
    found = [(each.step.number, str(each.request.primary), tuple(each.checks)) for each in told.moves]
    return [*found, *((None, str(each.primary), tuple(each.checks)) for each in told.stuck)]


def _stuck(stuck: Stuck) -> Mapping[str, Any]:
    return {"primary": stuck.primary or None, "wanted": stuck.wanted, "why": list(stuck.why)}


def _after(after: Afterwards) -> Mapping[str, Any]:
    return {
        "majority": after.keeps_majority,
        "voters": after.voters,
        "needed": after.needed,
        "left": after.left,
        "primaries_there": after.there,
        "without_second_copy": list(after.bare),
        "quorum_rests_on": [{"kind": each.kind.value, "name": each.name, "voters": each.voters} for each in after.tips],
    }


def difference_data(each: Difference) -> Mapping[str, Any]:
    return {
        "standing": each.standing.value,
        "slots": [list(part) for part in each.slots],
        "wanted": _seat(each.wanted),
        "primary": each.primary,
        "text": each.text,
        "beside": list(each.beside),
    }


def _seat(seat: Seat | None) -> Mapping[str, Any] | None:
    return {"id": seat.node_id, "address": seat.address} if seat else None


def written_data(layout: WrittenLayout, found: tuple[Difference, ...] = ()) -> Mapping[str, Any]:
    """A layout, and how it differs from what is."""
    return {"layout": layout_data(layout), "differences": [difference_data(each) for each in found]}

"""The answers of `rcfail lab fault`, as pages and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.exits import ExitCode
from rcfail.practice.lab.damage import Partition, Way
from rcfail.practice.lab.faults import Broken
from rcfail.practice.lab.mending import Mended
from rcfail.practice.lab.partitions import Parted
from rcfail.practice.lab.sides import shown
from rcfail.render.lines import Line, Style, line, span, wrapped
from rcfail.render.outcome import Json, Outcome


def broken_outcome(command: str, done: Broken) -> Outcome:
    """What a fault did, and how to undo it."""
    return Outcome(
        command,
        ExitCode.OK,
        text=lambda width: _broken_page(done, width),
        data=lambda: {
            "lab": done.lab,
            "fault": done.fault,
            "node": done.node,
            "address": str(done.endpoint),
            "effect": done.effect,
            "undo": done.undo or None,
        },
    )


def parted_outcome(command: str, done: Parted) -> Outcome:
    """Which sides there are, or were, and how to undo it."""
    return Outcome(
        command,
        ExitCode.OK,
        text=lambda width: _parted_page(done, width),
        data=lambda: {
            "lab": done.lab,
            "fault": done.fault,
            "partitions": [partition_json(each) for each in done.partitions],
            "effect": done.effect,
            "undo": done.undo or None,
        },
    )


def mended_outcome(command: str, mended: Mended) -> Outcome:
    """All that was undone, and what is not whole yet."""
    return Outcome(
        command,
        ExitCode.OK,
        text=lambda width: _mended_page(mended, width),
        data=lambda: {"lab": mended.lab, "fault": "mend", "done": list(mended.done), "lacks": list(mended.lacks)},
    )


def _broken_page(done: Broken, width: int) -> Iterator[Line]:
    head = line(span(f"{done.fault} ", Style.HEAD), f"{done.node} ({done.endpoint}): ")
    yield from wrapped(done.effect, width, first=head, indent=2)
    if done.undo:
        yield line(span("undo: ", Style.HEAD), done.undo)


def _parted_page(done: Parted, width: int) -> Iterator[Line]:
    for partition in done.partitions:
        head = line(span(f"{done.fault}: ", Style.HEAD))
        yield from wrapped(parted_line(partition), width, first=head, indent=2)
    yield from wrapped(done.effect, width, indent=2)
    if done.undo:
        yield line(span("undo: ", Style.HEAD), done.undo)


def _mended_page(mended: Mended, width: int) -> Iterator[Line]:
    if not mended.done:
        yield line(f"nothing in the lab {mended.lab} is broken that can be undone")
    for said in mended.done:
        yield from wrapped(said, width, first=line(span("undone: ", Style.HEAD)), indent=2)
    for said in mended.lacks:
        yield from wrapped(said, width, first=line(span("not yet: ", Style.WARN)), indent=2)


def parted_line(partition: Partition) -> str:
    """The sides, and what does not pass between them."""
    one, *others = (",".join(side) for side in partition.sides)
    match partition.way:
        case Way.BOTH:
            said = shown(partition.sides)
        case Way.PACKETS:
            said = f"packets from {one} do not reach {' | '.join(others)}"
        case Way.CONNECTIONS:
            said = f"{one} cannot connect to {' | '.join(others)}"
    return (
        said if partition.observer is None else f"{said}; we reach {','.join(partition.sides[partition.observer])} only"
    )


def partition_json(partition: Partition) -> Json:
    return {
        "sides": [list(side) for side in partition.sides],
        "way": partition.way.value,
        "observer": None if partition.observer is None else list(partition.sides[partition.observer]),
    }

"""A terminal that changes its size while a picture is being drawn gets a picture of the new size, at any moment."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from rcfail.commands.watching import _Picture


def drawn_after(moment: int, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """How many pictures were begun after a signal at the nth line that a redraw runs; None where it has fewer lines."""
    picture = _Picture(sys.__stdout__ or sys.stdout, 1.0, color=False)
    begun: list[str] = []
    monkeypatch.setattr(picture, "_draw", lambda: begun.append("picture"))
    lines, before = 0, None

    def traced(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines, before
        if event == "line" and frame.f_code is _Picture.redraw.__code__ and before is None:
            lines += 1
            if lines == moment:
                before = len(begun)
                picture.redraw()  # as the handler of SIGWINCH does, between two steps of the one that runs
        return traced

    sys.settrace(traced)
    try:
        picture.redraw()
    finally:
        sys.settrace(None)
    return None if before is None else len(begun) - before


def test_no_change_of_size_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    moment, seen = 1, 0
    while (after := drawn_after(moment, monkeypatch)) is not None:
        assert after >= 1, f"a change at step {moment} of the redraw is never drawn"
        moment, seen = moment + 1, seen + 1
    assert seen >= 6

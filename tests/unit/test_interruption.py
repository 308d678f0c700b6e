"""Signals at a bad moment: held back, let through, ignored from then on, and all as it was afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from rcfail.commands.interruption import ended_like_ctrl_c, held_back

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_stay() -> Iterator[None]:
    before = [signal.getsignal(each) for each in NUMBERS]
    yield
    assert [signal.getsignal(each) for each in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_each_ends_a_command_like_ctrl_c(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_held_back_comes_at_the_end(number: signal.Signals) -> None:
    reached = []

    def body() -> None:
        with held_back():
            os.kill(os.getpid(), number)
            reached.append(number)

    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        body()
    assert reached


def test_nothing_came_and_nothing_is_raised() -> None:
    with ended_like_ctrl_c(), held_back():
        pass


@pytest.mark.parametrize("number", NUMBERS)
def test_once_the_answer_counts_nothing_cuts_it_off(number: signal.Signals) -> None:
    """Also where that was said while signals were held back."""
    with ended_like_ctrl_c() as signals:
        with held_back():
            signals.ignore()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

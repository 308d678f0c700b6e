"""What a conversation leaves behind."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.secret import NOBODY
from tests.unit.wire_servers import PARSERS, bulk, odd_server, speaker


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__.strip("_"))
def test_an_ended_conversation_does_not_wait_for_the_garbage_collector(parser: type[Any]) -> None:
    parsers: list[weakref.ref[Any]] = []

    class Watched(parser):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            parsers.append(weakref.ref(self))

    gc.collect()
    gc.disable()
    try:
        with odd_server(speaker(lambda _: bulk("text"))) as server:
            door = Door(NOBODY, Bounds(), SYSTEM_CLOCK, Watched)
            replies = door.read(server.endpoint, [("INFO",)], deadline=Deadline.after(10))
        assert replies == ("text",)
        assert [parser() for parser in parsers] == [None]
    finally:
        gc.enable()

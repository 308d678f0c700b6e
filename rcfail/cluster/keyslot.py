"""Which slot a key falls into, and a hash tag for keys that shall fall into given slots."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from itertools import count

from rcfail.cluster.nouns import SLOT_COUNT, SlotRange


def slot_of(key: str) -> int:
    """What stands between the first { and the next } counts alone, unless that is nothing (keyHashSlot, cluster.c)."""
    begun = key.find("{")
    ended = key.find("}", begun + 1) if begun >= 0 else -1
    counted = key[begun + 1 : ended] if ended > begun + 1 else key
    return crc_hqx(counted.encode(), 0) % SLOT_COUNT


def tag_within(slots: Iterable[SlotRange]) -> str:
    """The smallest number that, as a hash tag, falls into one of the slots: everybody who knows them finds the same.

    Raises ValueError where there are no slots.
    """
    ranges = tuple(slots)
    if not ranges:
        raise ValueError("no slots, no tag")
    return next(str(n) for n in count() if any(first <= slot_of(str(n)) <= last for first, last in ranges))

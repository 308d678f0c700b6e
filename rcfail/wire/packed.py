"""Commands as the bytes that leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redis.connection import PythonRespSerializer

Command = Sequence[str | int | bytes]


@dataclass(frozen=True, slots=True)
class Packed:
    """Commands as the bytes that leave, and how many they are."""

    data: bytes
    count: int

    def then(self, later: Packed) -> Packed:
        return Packed(self.data + later.data, self.count + later.count)


NOTHING = Packed(b"", 0)


def _encoded(word: str | int | bytes) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")


_PACKER: Any = PythonRespSerializer(65536, _encoded)


def pack(commands: tuple[Command, ...]) -> Packed:
    pieces = [piece for command in commands for piece in _PACKER.pack(*command)]
    return Packed(b"".join(pieces), len(commands))


# All nodes are asked the same. Never for AUTH or for what is said once: nothing that may be secret is kept.
packed = lru_cache(maxsize=32)(pack)

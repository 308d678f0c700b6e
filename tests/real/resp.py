"""A connection of the tests' own: RESP2 over a plain socket, without anything of the program under test."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple


class Mute(Exception):
    """No answer: the connection was refused, ended, or nothing came in time."""


class Err(NamedTuple):
    """An error reply."""

    text: str


Reply = str | int | None | Err | tuple["Reply", ...]


class Wire:
    """One connection that speaks RESP2."""

    def __init__(self, host: str, port: int, within_s: float) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout=within_s)
        except OSError as error:
            raise Mute(str(error)) from error
        self._lines = self._socket.makefile("rb")

    def call(self, *words: str | int | float) -> Reply:
        """One command, one reply. Raises Mute when none comes."""
        texts = [str(word).encode() for word in words]
        packed = b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
        try:
            self._socket.sendall(packed)
            return self._read()
        except OSError as error:
            raise Mute(str(error)) from error

    def _read(self) -> Reply:
        line = self._lines.readline()
        if not line.endswith(b"\r\n"):
            raise Mute("the connection ended")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            return Err(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._lines.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return tuple(self._read() for _ in range(int(rest)))
        raise Mute(f"an odd answer: {line[:40]!r}")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def key_in(slot: int) -> str:
    """A key of that slot, the same at each call."""
    return next(key for number in range(1 << 20) if crc16(key := f"campaign-{number}") % 16384 == slot)


def crc16(text: str) -> int:
    """CRC-16/XMODEM, which decides the slot of a key."""
    crc = 0
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc

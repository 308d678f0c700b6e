"""Tables without end, clusters that name ever more nodes: a verdict soon after the deadline, in little memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
from _pytest.mark import ParameterSet

from rcfail.exits import ExitCode
from rcfail.wire.asks import MOST_LINES
from tests.unit.liars import Table, answering, info_text, liar, line, node_id
from tests.unit.ordeal import endure, fails, weighed
from tests.unit.wire_servers import Call, OddServer, serving

DEADLINE_S = 3.0
BOUNDED = ("--deadline", f"{DEADLINE_S:g}s", "--read-timeout", "1s", "--connect-timeout", "500ms")
HEAVY_MIB = 500
MOST_CPU_S = 12.0
"""What is left to do when the deadline has passed. What grows with the square of the nodes takes minutes."""

NOT_OK = (ExitCode.WARNING, ExitCode.CRITICAL, ExitCode.UNKNOWN)


def crowd(count: int, address: Callable[[int], str], flags: str = "master", slots: bool = False) -> Table:
    def table(place: str) -> bytes:
        rows = [line("me", f"{place}@17000", "myself,master", slots="0" if slots else "0-16383")]
        primary = node_id("me") if "slave" in flags else "-"
        rows += [
            line(at, address(at).replace("OWN", place), flags, primary, str(at) if slots else "")
            for at in range(1, count)
        ]
        return "".join(rows).encode()

    return table


def spread(at: int) -> str:
    """An address of its own on loopback, where nobody listens."""
    return f"127.{100 + (at >> 16)}.{at >> 8 & 255}.{at & 255}:1@10001"


MOST = MOST_LINES - 1
CROWDS = {
    "nobody there": crowd(MOST, spread),
    "unroutable": crowd(MOST, lambda at: f"255.255.255.255:{at}@1"),
    "all at our own port": crowd(MOST, lambda _: "OWN@17000"),
    "without address": crowd(MOST, lambda _: ":0@0", "master,noaddr"),
    "replicas of one": crowd(MOST, spread, "slave"),
    "each with a slot": crowd(MOST, spread, slots=True),
    "all failed": crowd(MOST, spread, "master,fail", slots=True),
    "being met": crowd(MOST, spread, "handshake"),
    "impossible ports": crowd(50, lambda at: f"127.0.0.1:{(0, 99999, 65536, -1)[at % 4]}@{(0, 99999)[at % 2]}"),
}


def everyday(kinds: Iterable[str], *chosen: str) -> list[ParameterSet]:
    """The chosen ones run every day, the others in the long run."""
    return [pytest.param(kind, marks=[] if kind in chosen else [pytest.mark.long]) for kind in kinds]


@pytest.mark.parametrize("kind", everyday(CROWDS, "all failed", "impossible ports"))
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_table_of_thousands_is_judged_soon_after_the_deadline(kind: str, output: str) -> None:
    with liar(CROWDS[kind]) as seed:
        ended, weight = weighed("health", "-s", seed, *BOUNDED, "-o", output)
    assert ended.code in NOT_OK, ended.err
    if output == "json" and kind != "being met":
        assert ended.document["data"]["silences"]
    assert weight.cpu_s < DEADLINE_S + MOST_CPU_S
    assert weight.mib < HEAVY_MIB


@pytest.mark.parametrize(
    "table",
    [
        crowd(100_000, spread),
        lambda place: line("me", place, "myself,master", slots="0-16383").encode() + b"x\n" * 2_000_000,
        lambda place: (line("me", place, "myself,master")[:-1] + " 1" * 3_000_000 + "\n").encode(),
        lambda place: (line("me", place, "myself,master" + ",x" * 3_000_000)).encode(),
    ],
    ids=["100,000 nodes", "2,000,000 lines", "3,000,000 slots", "3,000,000 flags"],
)
@pytest.mark.parametrize("command", ["health", "nodes"])
def test_a_table_that_no_cluster_can_have_is_not_read(command: str, table: Table) -> None:
    with liar(table) as seed:
        failure = fails(ExitCode.UNKNOWN, command, "-s", seed, *BOUNDED)
        _, weight = weighed(command, "-s", seed, *BOUNDED)
    assert "more than any node gives" in failure.error
    assert weight.cpu_s < MOST_CPU_S
    assert weight.mib < HEAVY_MIB / 2


def test_an_info_without_end_is_not_read_and_the_verdict_says_so() -> None:
    def table(place: str) -> bytes:
        return line("me", f"{place}@17000", "myself,master", slots="0-16383").encode()

    with liar(table, info=info_text() + "x\r\n" * 1_000_000) as seed:
        ended = endure("health", "-s", seed, *BOUNDED, "-o", "json", "--ignore", "quorum-fragile,replica-missing")
    assert ended.code == ExitCode.UNKNOWN
    assert "reply-malformed" in {each["code"] for each in ended.document["data"]["findings"]}


# Ever more nodes, each of which answers


def host(at: int) -> str:
    return f"127.{10 + (at >> 16)}.{at >> 8 & 255}.{at & 255}"


def number_of(address: str) -> int:
    _, high, middle, low = (int(part) for part in address.split("."))
    return (high - 10 << 16) + (middle << 8) + low


EVER_MORE: dict[str, tuple[Callable[[int], list[int]], Callable[[int], str]]] = {
    "a chain": (lambda at: [at + 1], lambda at: str(at % 16384)),
    "a tree": (lambda at: list(range(10 * at, 10 * at + 10)), lambda at: str(at % 16384)),
    "a wide tree": (lambda at: [(1000 * at + more) % 8_000_000 for more in range(1000)], lambda at: str(at % 16384)),
    "all claim all": (lambda at: [3 * at, 3 * at + 1, 3 * at + 2], lambda _: "0-16383"),
    "all claim every other slot": (
        lambda at: [3 * at, 3 * at + 1, 3 * at + 2],
        lambda at: " ".join(map(str, range(at % 2, 16384, 2))),
    ),
    "nobody claims anything": (lambda at: [2 * at, 2 * at + 1], lambda _: ""),
}


@contextmanager
def ever_more(kind: str) -> Iterator[str]:
    """One server at all addresses of loopback; each node names further ones."""
    named, claimed = EVER_MORE[kind]
    port: list[int] = []

    def behave(call: Call) -> None:
        me = number_of(call.sock.getsockname()[0])
        rows = line(me, f"{host(me)}:{port[0]}@1", "myself,master", slots=claimed(me), epoch=me)
        others = (each for each in named(me) if each != me)
        rows += "".join(line(each, f"{host(each)}:{port[0]}@1", slots=claimed(each), epoch=each) for each in others)
        answering(rows.encode(), info_text(me))(call)

    server = OddServer(behave, "0.0.0.0")
    port.append(server.endpoint.port)
    with serving(server):
        yield f"{host(1)}:{port[0]}"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
@pytest.mark.parametrize("kind", everyday(EVER_MORE, "a tree", "all claim every other slot"))
def test_a_cluster_that_names_ever_more_nodes_ends_at_the_deadline_and_is_not_ok(kind: str) -> None:
    with ever_more(kind) as seed:
        ended, weight = weighed("health", "-s", seed, *BOUNDED, "-o", "json")
    assert ended.code in (ExitCode.CRITICAL, ExitCode.UNKNOWN), ended.err
    assert len(ended.document["data"]["nodes"]) > 10
    assert weight.cpu_s < DEADLINE_S + MOST_CPU_S
    assert weight.mib < HEAVY_MIB

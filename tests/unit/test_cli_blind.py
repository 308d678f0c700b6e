"""When nothing of a cluster can be seen: one line with every reason, and the hint that fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.blind import cannot_see
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Observation, Silence, SilenceReason
from rcfail.render.words import SILENCE_WORDS
from rcfail.wire.record import save
from tests.unit.running import rcfail
from tests.unit.world import World

A, B, C = Endpoint("10.0.0.1", 7000), Endpoint("10.0.0.2", 7000), Endpoint("::1", 7000)


def dark(*silences: Silence) -> Observation:
    return Observation(0, 5, tuple(each.endpoint for each in silences if each.endpoint), (), silences)


def silence(reason: SilenceReason, text: str = "", endpoint: Endpoint = A) -> Silence:
    return Silence(endpoint, None, reason, text)


@pytest.mark.parametrize("reason", SilenceReason)
def test_every_reason_has_words_and_a_hint(reason: SilenceReason) -> None:
    fault = cannot_see(dark(silence(reason)))
    assert fault is not None
    assert fault.message.startswith(f"10.0.0.1:7000 {SILENCE_WORDS[reason]}")
    assert fault.hint.endswith((".", "PING"))


@pytest.mark.parametrize(
    ("reason", "text", "message", "hint"),
    [
        (SilenceReason.REFUSED, "connection refused", "refuses the connection", "redis-cli -h 10.0.0.1 -p 7000 PING"),
        (SilenceReason.AUTH_REFUSED, "NOAUTH Authentication required.", "NOAUTH", "--password-file"),
        (SilenceReason.NOT_A_CLUSTER, "ERR This instance", "not a member of a cluster", "cluster-enabled yes"),
        (SilenceReason.TLS_EXPECTED, "", "speaks TLS only", "--tls"),
        (SilenceReason.UNRESOLVABLE, "name or service not known", "does not resolve", "spelling"),
        (SilenceReason.GARBAGE, "speaks HTTP, not Redis", "speaks HTTP", "client port"),
        (SilenceReason.CLOSED, "", "closes the connection", "10000 lower"),
        (SilenceReason.NO_TIME, "", "deadline", "--deadline 30s"),
    ],
)
def test_the_hint_fits_the_reason(reason: SilenceReason, text: str, message: str, hint: str) -> None:
    fault = cannot_see(dark(silence(reason, text)))
    assert fault is not None
    assert message in fault.message
    assert hint in fault.hint
    assert "\n" not in fault.message


def test_all_reasons_are_listed_and_the_hint_is_for_the_one_to_mend() -> None:
    fault = cannot_see(
        dark(
            silence(SilenceReason.REFUSED),
            silence(SilenceReason.AUTH_REFUSED, "WRONGPASS invalid", B),
            silence(SilenceReason.GARBAGE, "", C),
        )
    )
    assert fault is not None
    assert fault.message == (
        "no node of a cluster can be seen: 10.0.0.1:7000 refuses the connection; "
        "10.0.0.2:7000 refuses our credentials (WRONGPASS invalid); [::1]:7000 does not speak the Redis protocol"
    )
    assert "password" in fault.hint


def test_a_thousand_reasons_are_still_one_readable_line() -> None:
    many = dark(*(silence(SilenceReason.REFUSED, endpoint=Endpoint("h", port)) for port in range(1, 1001)))
    fault = cannot_see(many)
    assert fault is not None
    same = "no node of a cluster can be seen: each of h:1, h:2, h:3 and 997 more refuses the connection"
    assert fault.message == same
    texts = (silence(SilenceReason.TLS_FAILED, f"reason {number}", Endpoint("h", number)) for number in range(1, 1001))
    fault = cannot_see(dark(*texts))
    assert fault is not None
    assert fault.message.endswith("; and 992 more")
    assert len(fault.message) < 800


def test_a_text_without_end_is_cut() -> None:
    fault = cannot_see(dark(silence(SilenceReason.AUTH_REFUSED, "x" * 5000)))
    assert fault is not None
    assert len(fault.message) < 250


@pytest.mark.parametrize(
    ("kind", "text", "message", "hint"),
    [
        (
            AbsenceKind.NOT_PERMITTED,
            "NOPERM no",
            "does not let this user read CLUSTER NODES (NOPERM no)",
            "+cluster|nodes",
        ),
        (AbsenceKind.LOADING, "", "is loading its data set", "--wait"),
        (AbsenceKind.MALFORMED, "", "gives no table of members", "-s HOST:PORT"),
    ],
)
def test_a_node_that_answers_without_a_table_shows_no_cluster(
    kind: AbsenceKind, text: str, message: str, hint: str
) -> None:
    world = World.of(1, 0)
    world["a"].absences[Ask.CLUSTER_NODES] = Absence(kind, text)
    fault = cannot_see(world.observe())
    assert fault is not None
    assert message in fault.message
    assert hint in fault.hint


def test_one_view_is_enough_to_see() -> None:
    world = World.of(3, 1)
    for member in list(world)[1:]:
        member.silence = SilenceReason.REFUSED
    assert cannot_see(world.observe()) is None


@pytest.mark.parametrize("command", ["health", "nodes"])
def test_every_reading_command_ends_with_unknown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    path = str(tmp_path / "dark.json")
    save(replace(dark(silence(SilenceReason.REFUSED, "connection refused")), taken_at_unix_ms=1), path)
    text = rcfail(capsys, command, "--from-record", path)
    assert (text.code, text.out) == (3, "")
    assert text.err.startswith("rcfail: error: 10.0.0.1:7000 refuses the connection\nhint: ")
    ran = rcfail(capsys, command, "--from-record", path, "-o", "json")
    assert (ran.code, ran.err) == (3, "")
    assert ran.document["verdict"] == "unknown"
    assert ran.document["exit"] == "UNKNOWN"
    assert ran.document["cluster"]["seeds"] == ["10.0.0.1:7000"]
    assert ran.error["code"] == "cannot-see"
    assert ran.document["data"]["silences"][0]["reason"] == "refused"

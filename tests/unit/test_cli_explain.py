"""The command explain: every finding has a page, and it is found."""

from __future__ import annotations

import pytest

from rcfail import pages
from rcfail.health.catalogue import ENTRIES
from tests.unit.running import rcfail

Capsys = pytest.CaptureFixture[str]
CODES = [entry.code for entry in ENTRIES]


@pytest.mark.parametrize("code", CODES)
def test_every_finding_is_explained(capsys: Capsys, code: str) -> None:
    ran = rcfail(capsys, "explain", code)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{code}  ")
    assert "no runbook page" not in ran.out
    assert len(ran.out.splitlines()) > 15
    data = rcfail(capsys, "explain", code, "-o", "json").document["data"]
    assert (data["code"], data["page"]) == (code, pages.page_of(code))


@pytest.mark.parametrize("code", CODES)
def test_each_command_of_a_page_has_a_line_of_its_own(capsys: Capsys, code: str) -> None:
    """In a list too: it is there to be copied."""
    shown = rcfail(capsys, "explain", code).out
    blocks = (pages.page_of(code) or "").split("```")[1::2]
    commands = [row.strip() for block in blocks for row in block.splitlines()[1:] if row.strip()]
    assert "```" not in shown
    assert set(commands) <= {row.strip() for row in shown.splitlines()}


def test_without_a_code_all_are_listed(capsys: Capsys) -> None:
    out = rcfail(capsys, "explain").out
    assert [row.split()[0] for row in out.splitlines() if not row.startswith(" ")] == CODES
    listed = rcfail(capsys, "explain", "-o", "json").document["data"]["findings"]
    assert [each["code"] for each in listed] == CODES


@pytest.mark.parametrize(
    ("word", "near"),
    [("slots-failde", "slots-failed"), ("SLOTS_FAILED", "slots-failed"), ("../../etc/passwd", "rcfail explain")],
)
def test_an_unknown_code_is_guessed(capsys: Capsys, word: str, near: str) -> None:
    ran = rcfail(capsys, "explain", word)
    assert (ran.code, ran.out) == (64, "")
    assert near in ran.err


def test_a_code_may_be_written_in_capitals(capsys: Capsys) -> None:
    assert rcfail(capsys, "explain", "Slots-Failed").code == 0


def test_a_page_that_is_missing_is_said(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcfail.commands.explain.page_of", lambda _: None)
    ran = rcfail(capsys, "explain", "slots-failed")
    assert ran.code == 0
    assert "note: no runbook page for slots-failed is installed" in ran.out


def test_a_condition_of_a_recovery_is_explained_by_the_page_that_it_has(capsys: Capsys) -> None:
    ran = rcfail(capsys, "explain", "ghost")
    assert (ran.code, ran.out.startswith("node-ghost")) == (0, True), ran
    ran = rcfail(capsys, "explain", "nodes-apart")
    assert (ran.code, "rcfail runbook addresses-changed" in ran.err) == (64, True), ran
    assert rcfail(capsys, "runbook", "nodes-apart").code == 0

"""The command runbook: every page is listed, found, laid out whole, and its commands stay unbroken."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from rcfail import pages
from rcfail.health.catalogue import BY_CODE
from rcfail.render.lines import plain
from rcfail.render.markdown import markdown_lines, squeezed
from tests.unit.running import rcfail

Capsys = pytest.CaptureFixture[str]
NAMES = pages.page_names()
_FENCED = re.compile(r"^ *```[a-z]*\n(.+?)^ *```$", re.MULTILINE | re.DOTALL)
PROCEDURE = "# Move a rack\n\nMoves a rack.\n\n## Do\n\n1. Look\n   twice.\n\n```\nrcfail health\n```\n"


def test_every_page_is_listed_with_a_title(capsys: Capsys) -> None:
    assert set(BY_CODE) <= set(NAMES)
    listed = rcfail(capsys, "runbook", "-o", "json").document["data"]["pages"]
    assert {each["name"] for each in listed} == set(NAMES)
    assert all(each["title"] and each["title"] != each["name"] for each in listed)
    out = rcfail(capsys, "runbook").out
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in NAMES)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_shown_whole(capsys: Capsys, name: str) -> None:
    ran = rcfail(capsys, "runbook", name)
    assert (ran.code, ran.err) == (0, "")
    page = pages.page_of(name)
    assert page
    told = " ".join(ran.out.split())
    for block in re.split(r"\n\s*\n", _FENCED.sub("\n\n", page)):
        words = re.sub(r"^#+ ", "", block.strip())
        if not block.startswith("# "):
            for sentence in re.split(r"(?<=[.:])\s", " ".join(words.split())):
                assert sentence in told
    for command in _FENCED.findall(page):
        for row in dedent(command).splitlines():
            assert not row or f"    {row}" in ran.out, "a command was broken"
    assert rcfail(capsys, "runbook", name, "-o", "json").document["data"]["page"] == page


def test_a_finding_reads_as_explain_shows_it(capsys: Capsys) -> None:
    assert rcfail(capsys, "runbook", "slots-failed").out == rcfail(capsys, "explain", "slots-failed").out
    assert rcfail(capsys, "runbook", "runbooks/Slots-Failed.md").code == 0


def test_a_procedure_is_a_page_of_the_book_but_no_finding(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcfail.commands.runbook.page_names", lambda: ("slots-failed", "move-a-rack"))
    monkeypatch.setattr("rcfail.commands.runbook.page_of", lambda _: PROCEDURE)
    out = rcfail(capsys, "runbook").out
    assert out.index("procedures") < out.index("move-a-rack") < out.index("findings") < out.index("slots-failed")
    assert rcfail(capsys, "runbook", "move-a-rack").out == (
        "Move a rack\n\nMoves a rack.\n\nDo\n\n1. Look twice.\n\n    rcfail health\n"
    )
    assert rcfail(capsys, "explain", "move-a-rack").code == 64


@pytest.mark.parametrize(
    ("word", "near"),
    [("slots-failde", "slots-failed"), ("quorum", "quorum-lost"), ("../../etc/passwd", "rcfail runbook")],
)
def test_an_unknown_page_is_guessed(capsys: Capsys, word: str, near: str) -> None:
    ran = rcfail(capsys, "runbook", word)
    assert (ran.code, ran.out) == (64, "")
    assert near in ran.err


def test_an_installation_without_pages_says_so(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcfail.commands.runbook.page_names", lambda: ())
    ran = rcfail(capsys, "runbook")
    assert (ran.code, ran.out) == (0, "note: no runbook page is installed\n")


def test_text_is_laid_out_for_the_width_and_what_is_to_be_copied_is_not() -> None:
    words = "# T\n\n\n\nSome words that are\nbroken anew.\n- one\n- two long words\n  more\n\n| a | b |\n"
    page = words + "```\na b c d e f g h i j k\n\nl\n```\n"
    rows = plain(squeezed(markdown_lines(page, 16))).splitlines()
    assert rows == [
        "T", "", "Some words that", "are broken anew.", "- one", "- two long words", "  more", "", "| a | b |",
        "    a b c d e f g h i j k", "", "    l",
    ]  # fmt: skip

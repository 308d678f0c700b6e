"""What the documents say must be what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rcfail.change.recover.condition import ConditionCode
from rcfail.commands.table import COMMANDS
from rcfail.exits import MEANINGS, ExitCode
from rcfail.health.catalogue import ENTRIES, Entry
from rcfail.pages import PAGE_OF_CONDITION, page_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SECTIONS = ("Symptom", "Meaning", "Confirm", "Act", "Verify", "If it gets worse")
PROCEDURES = (
    "addresses-changed",
    "ci",
    "data-centre-switch",
    "failover",
    "kubernetes",
    "maintenance",
    "nagios",
    "nodes-conf",
    "prometheus",
    "recover",
    "replace-a-node",
    "reset",
    "rolling",
    "tls",
)
"""Pages that are about no finding."""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_every_finding_has_a_whole_page(entry: Entry) -> None:
    page = (ROOT / "runbooks" / f"{entry.code}.md").read_text("utf-8")
    assert page.startswith(f"# {entry.code}\n")
    headings = re.findall(r"^## (.+)$", page, re.M)
    assert tuple(headings) == SECTIONS
    for section in re.split(r"^## .+$", page, flags=re.M)[1:]:
        assert len(section.split()) >= 5, f"a section of {entry.code} says next to nothing"
    assert "```" in page, "no command to type"


@pytest.mark.parametrize("name", PROCEDURES)
def test_every_procedure_has_a_page_that_says_in_one_sentence_what_for(name: str) -> None:
    title, empty, purpose, *rest = (ROOT / "runbooks" / f"{name}.md").read_text("utf-8").splitlines()
    assert (title, empty) == (f"# {name}", "")
    assert purpose.endswith(".")
    assert any(row.startswith("## ") for row in rest)
    assert any(row.startswith("```") for row in rest), "no command to type"


def test_no_page_without_a_finding_or_a_procedure() -> None:
    pages = {path.stem for path in (ROOT / "runbooks").glob("*.md")}
    assert pages == {*PROCEDURES, *(entry.code for entry in ENTRIES)}


def test_the_readme_lists_every_finding() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (info|warning|unknown|critical) \| (.+) \|$", README, re.M)
    assert rows == [(entry.code, entry.worst.value, entry.title) for entry in ENTRIES]


def test_the_readme_lists_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (.+) \|$", README, re.M)
    assert rows == [(str(code.value), code.name, MEANINGS[code]) for code in ExitCode]


def test_the_readme_lists_every_condition_that_a_recovery_knows() -> None:
    section = README.partition("\n## Bringing nodes back\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", section, re.M)
    assert [name for name, _, _ in rows] == [each.value for each in ConditionCode]


def test_every_condition_that_a_recovery_knows_has_a_page() -> None:
    names = {each.value for each in ConditionCode}
    assert PAGE_OF_CONDITION.keys() <= names
    assert {PAGE_OF_CONDITION.get(each, each) for each in names} <= set(page_names())
    assert not PAGE_OF_CONDITION.keys() & set(page_names()), "a page of that name would be hidden"


def test_the_readme_names_no_command_that_does_not_exist() -> None:
    words = set(re.findall(r"(?:^|`|bin/)rcfail ([a-z-]+)", README, re.M))
    assert words
    assert words <= set(COMMANDS)

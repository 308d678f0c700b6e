"""Nothing that a server sent is a control sequence or markup."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.render.inert import inert, inert_block
from rcfail.render.json import document
from rcfail.render.lines import Span, Style, line, plain, span, wrapped
from rcfail.render.paint import paint

ANYTHING = st.text(st.characters(codec=None, categories=None), max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x07b\x00", r"a\x07b\x00"),
        ("a\r\nb\tc", r"a\x0d\x0ab\x09c"),
        ("\x9b2J", r"\x9b2J"),  # the one-byte form of ESC [
        ("\x7f", r"\x7f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066x\u2069\u200e", r"\u2066x\u2069\u200e"),
        ("\ufeffa\u200b", r"\ufeffa\u200b"),
        ("\udc9b", r"\udc9b"),
        ("\U000e0041", r"\U000e0041"),
        ("host-1.örebro.example 東京", "host-1.örebro.example 東京"),
        ("[bold red]markup[/]", "[bold red]markup[/]"),
    ],
)
def test_what_a_terminal_would_obey_becomes_visible(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(ANYTHING)
def test_no_text_keeps_a_control_a_direction_or_half_a_character(text: str) -> None:
    for each in inert(text):
        assert unicodedata.category(each) not in ("Cc", "Cs"), repr(each)
        assert unicodedata.bidirectional(each) not in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI")
    inert(text).encode()


@given(ANYTHING)
def test_to_make_inert_twice_changes_nothing(text: str) -> None:
    assert inert(inert(text)) == inert(text)


@given(ANYTHING)
def test_a_block_keeps_its_lines(text: str) -> None:
    assert inert_block(text).replace("\n", "").replace("\t", "") == inert(text.replace("\n", "").replace("\t", ""))


@given(st.recursive(ANYTHING, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3)))
def test_json_unpacks_to_nothing_harmful(value: object) -> None:
    text = document({"data": value})
    assert text.isascii()
    assert text.count("\n") == 1

    def check(each: object) -> None:
        if isinstance(each, str):
            assert inert_block(each) == each
        elif isinstance(each, list):
            list(map(check, each))
        elif isinstance(each, dict):
            list(map(check, each))
            list(map(check, each.values()))

    check(json.loads(text))


def test_json_leaves_harmless_text_as_it_is() -> None:
    value = {"data": ["a\nb\tc", "örebro", "back\\slash", 'quo"te', 1, None, True, 1.5]}
    assert json.loads(document(value)) == value


def test_every_piece_of_a_line_is_made_inert() -> None:
    page = [line("a\x1bb", span("c\u202ed")), *wrapped("e\x1bf", 80), *wrapped(["g\x1bh"], 80)]
    assert "\x1b" not in plain(page)
    assert plain(page).splitlines()[0] == r"a\x1bbc\u202ed"


def test_rich_reads_no_markup_and_adds_only_its_own_colours() -> None:
    file = io.StringIO()
    paint([line(span("[red]x[/red] :smile: http://h \x1b[5m", Style.BAD)), line(Span("plain"))], file)
    text = file.getvalue()
    assert "[red]x[/red] :smile: http://h \\x1b[5m" in text
    assert "\x1b[5m" not in text
    assert text.endswith("plain\n")

"""A nodes.conf judged and repaired without a server. What servers do with each is held by tests/real."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcfail.cluster.flaws import MEANINGS, FlawCode, Grade
from rcfail.cluster.lint_nodes import lint
from rcfail.cluster.mend_nodes import mend
from tests.unit.running import Ran, rcfail

Capsys = pytest.CaptureFixture[str]
IDS = tuple(letter * 40 for letter in "abcdef")
A, B, C, D, E, F = IDS
NOBODY = "9" * 40
SHARDS = ("1" * 40, "2" * 40, "3" * 40)
SLOTS = ("0-5460", "5461-10922", "10923-16383")


def conf(*, aux: bool = True) -> list[str]:
    """Three primaries and a replica of each; the file is of A."""
    behind = [f",,tls-port=0,shard-id={each}" if aux else "" for each in SHARDS]
    lines = [
        f"{IDS[at]} 10.0.0.{at + 1}:7000@17000{behind[at]} {'' if at else 'myself,'}master - 0 17 {at + 1} connected "
        f"{SLOTS[at]}"
        for at in range(3)
    ]
    lines += [
        f"{IDS[3 + at]} 10.0.0.{at + 4}:7000@17000{behind[at]} slave {IDS[at]} 0 17 {at + 1} connected"
        for at in range(3)
    ]
    return [*lines, "vars currentEpoch 6 lastVoteEpoch 4"]


def text_of(lines: list[str]) -> str:
    return "".join(f"{each}\n" for each in lines)


def changed(at: int, old: str, new: str) -> str:
    lines = conf()
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)
    return text_of(lines)


def codes(text: str) -> set[tuple[int, str]]:
    return {(each.line_number, each.code.value) for each in lint(text).flaws}


WHOLE = text_of(conf())


@pytest.mark.parametrize("aux", [True, False])
def test_a_whole_file_has_no_flaw_and_is_repaired_to_itself(aux: bool) -> None:
    text = text_of(conf(aux=aux))
    found = lint(text)
    assert (found.flaws, found.grade) == ((), None)
    assert found.myself is not None
    assert found.myself.node_id == A
    mended = mend(found)
    assert (mended.text, mended.edits) == (text, ())


BROKEN = {
    "no vars line": (text_of(conf()[:-1]), {(0, "vars-missing")}),
    "vars cut in a name": (WHOLE[:-4], {(7, "end-cut"), (7, "vars-cut")}),
    "vars cut behind a value": (WHOLE[: -len(" lastVoteEpoch 4\n")], {(7, "end-cut"), (7, "vars-odd")}),
    "vars cut in its word": (text_of(conf()[:-1]) + "va", {(7, "end-cut"), (7, "vars-cut")}),
    "last line cut": (text_of(conf()[:5]) + conf()[5][:60], {(0, "vars-missing"), (6, "end-cut"), (6, "line-cut")}),
    "garbage": (text_of([*conf()[:3], "garbage", *conf()[3:]]), {(4, "line-garbage")}),
    "a long line of garbage": (text_of([*conf()[:3], "x " * 30, *conf()[3:]]), {(4, "line-garbage")}),
    "a quote": (changed(3, D, f'"{D}'), {(4, "line-garbage")}),
    "blanks": (text_of([*conf()[:3], "  ", *conf()[3:]]), {(4, "blank-line")}),
    "nobody is itself": (changed(0, "myself,", ""), {(0, "myself-missing")}),
    "two are itself": (changed(1, "master", "myself,master"), {(2, "myself-twice")}),
    "an id twice": (text_of([*conf()[:4], *conf()[3:]]), {(5, "id-twice")}),
    "another shard": (changed(3, SHARDS[0], SHARDS[1]), {(4, "shard-id-mismatch")}),
    "no shard": (changed(3, f",shard-id={SHARDS[0]}", ""), {(4, "shard-id-missing")}),
    "an unknown primary": (changed(3, f"slave {A}", f"slave {NOBODY}"), {(4, "primary-unknown")}),
    "a replica of a replica": (
        changed(4, f"slave {B}", f"slave {F}"),
        {(5, "follows-replica"), (5, "shard-id-mismatch")},
    ),
    "a slot twice": (changed(2, "10923-16383", "10922-16383"), {(3, "slots-twice")}),
    "a slot too many": (changed(2, "16383", "16384"), {(3, "slot-unreadable")}),
    "slots backwards": (changed(2, "10923-16383", "10923-16"), {(3, "slot-unreadable")}),
    "a slot on its way out": (changed(0, "0-5460", f"0-5460 [77->-{B}]"), {(1, "slot-open")}),
    "a slot on its way in": (changed(0, "0-5460", f"0-5460 [6000-<-{B}]"), {(1, "slot-open")}),
    "a slot on its way from nobody": (changed(0, "0-5460", f"0-5460 [77->-{NOBODY}]"), {(1, "slot-open-elsewhere")}),
    "an open slot of another": (changed(1, "10922", f"10922 [6000->-{A}]"), {(2, "slot-open-elsewhere")}),
    "an open slot cut off": (changed(0, "0-5460", "0-5460 [77->-bbb"), {(1, "slot-unreadable")}),
    "an epoch above the current one": (changed(1, " 2 connected", " 9 connected"), {(7, "epoch-over")}),
    "one epoch for two": (changed(1, " 2 connected", " 1 connected"), {(2, "epoch-equal")}),
    "a vote above the current one": (changed(6, "lastVoteEpoch 4", "lastVoteEpoch 9"), {(7, "vote-over")}),
    "a negative epoch": (changed(6, "currentEpoch 6", "currentEpoch -6"), {(7, "epoch-unreadable")}),
    "an address twice": (changed(1, "10.0.0.2", "10.0.0.3"), {(3, "address-twice")}),
    "no port": (changed(1, "10.0.0.2:7000@17000", "10.0.0.2:0@17000"), {(2, "port-zero")}),
    "an unknown flag": (changed(1, "master", "master,foo"), {(2, "flag-unknown")}),
    "an unknown field": (changed(1, ",,tls", ",,foo=1,tls"), {(2, "aux-unreadable")}),
    "a bad primary": (changed(3, f"slave {A}", "slave 12"), {(4, "primary-unreadable"), (4, "primary-missing")}),
    "NUL at the end": (WHOLE + "\0" * 300, {(8, "nul-bytes")}),
    "NUL before a line": (changed(4, E, "\0" * 9 + E), {(5, "nul-bytes")}),
    "Windows": (WHOLE.replace("\n", "\r\n"), {(0, "line-ends")}),
    "a byte order mark": ("\ufeff" + WHOLE, {(1, "byte-order-mark")}),
    "a byte that is no text": (WHOLE.replace("10.0.0.5", "10.0\udcff"), {(5, "line-garbage")}),
    "nothing": ("", {(0, "file-empty")}),
}
LOST = {"nobody is itself", "two are itself", "nothing"}


@pytest.mark.parametrize("name", BROKEN)
def test_each_flaw_is_named_with_its_line_and_said_what_a_server_does(name: str) -> None:
    text, expected = BROKEN[name]
    assert codes(text) == expected
    assert all(each.server and each.advice for each in lint(text).flaws)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_repaired_has_no_critical_flaw_and_tells_every_change(name: str) -> None:
    text, _ = BROKEN[name]
    mended = mend(lint(text))
    if name in LOST:
        assert (mended.text, mended.edits) == ("", ())
        assert mended.refused
        return
    again = lint(mended.text)
    assert again.grade is not Grade.CRITICAL
    assert again.myself is not None
    assert again.myself.node_id == A
    old, new = text.split("\n"), set(mended.text.splitlines())
    told = {each.line_number for each in mended.edits}
    assert {at for at, row in enumerate(old, 1) if row and row not in new and at not in told} == set()
    assert mended.text.endswith("\n")


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(FlawCode)


def test_a_vote_that_is_not_known_was_as_late_as_it_can_be() -> None:
    assert mend(lint(text_of(conf()[:-1]))).text.endswith("\nvars currentEpoch 3 lastVoteEpoch 3\n")
    assert mend(lint(WHOLE[: -len(" lastVoteEpoch 4\n")])).text.endswith("\nvars currentEpoch 6 lastVoteEpoch 6\n")


@pytest.mark.parametrize("aux", [True, False])
def test_the_primary_that_the_node_follows_gets_its_line_back(aux: bool) -> None:
    """Valkey 9.1 ends at the first word of a primary of which its file had no line."""
    lines = conf(aux=aux)
    lines[0] = lines[0].replace("myself,", "")
    lines[3] = lines[3].replace(" slave ", " myself,slave ")
    place = lines[0].split(" ")[1].split(",")[0]
    rest = lines[1:-1]
    behind = f",,tls-port=0,shard-id={SHARDS[0]}" if aux else ""
    cut_short = mend(lint(text_of(rest) + lines[0][: 45 + len(place)]))
    assert f"{A} {place}{behind} master - 0 0 0 disconnected\n" in cut_short.text
    # Within the port: which one it was cannot be told.
    for text in (text_of(rest) + lines[0][: 39 + len(place)], text_of([*rest, lines[-1]])):
        mended = mend(lint(text)).text
        assert (f"{A} :0@0{behind} master,noaddr - 0 0 0 disconnected\n" in mended) == aux
        assert place not in mended


def test_so_does_the_primary_of_another_replica() -> None:
    lines = conf()
    assert (
        f"{B} :0@0,,tls-port=0,shard-id={SHARDS[1]} master,noaddr - 0 0 0 disconnected\n"
        in mend(lint(text_of([lines[0], *lines[2:]]))).text
    )


def test_of_two_claims_the_higher_epoch_keeps_the_slot() -> None:
    rows = mend(lint(changed(2, "10923-16383", "10922-16383"))).text.splitlines()
    assert rows[1].endswith(" 5461-10921")
    assert rows[2].endswith(" 10922-16383")


def test_of_two_lines_of_one_id_the_higher_epoch_stays() -> None:
    lines = conf()
    later = lines[1].replace(" 2 connected", " 5 connected").replace("10.0.0.2", "10.0.0.9")
    mended = mend(lint(text_of([*lines[:4], later, *lines[4:]])))
    assert later in mended.text
    assert lines[1] not in mended.text


def test_the_operator_says_who_it_is() -> None:
    twice, none = changed(1, "master", "myself,master"), changed(0, "myself,", "")
    for text in (twice, none):
        for word in (B, B[:8], "10.0.0.2:7000"):
            mended = mend(lint(text, word), word)
            again = lint(mended.text, word)
            assert again.flaws == ()
            assert again.myself is not None
            assert again.myself.node_id == B
    assert "about 10.9.9.9:1" in mend(lint(twice), "10.9.9.9:1").refused
    assert (1, "myself-wrong") in {(each.line_number, each.code.value) for each in lint(WHOLE, B).flaws}
    assert lint(WHOLE, A).flaws == ()


def test_an_own_line_that_was_cut_names_the_id_that_it_may_have_been() -> None:
    lines = conf()
    flaw = lint(text_of([lines[0][:70], *lines[1:]])).flaws[0]
    assert flaw.code is FlawCode.MYSELF_MISSING
    assert A in flaw.text


def test_slots_that_the_node_itself_shares_are_critical() -> None:
    flaws = lint(changed(1, "5461-", "5460-")).flaws
    assert [(each.code, each.grade) for each in flaws] == [(FlawCode.SLOTS_TWICE, Grade.CRITICAL)]


words = st.sampled_from([*IDS, NOBODY, *SHARDS, "myself,master", "slave", "-", "0", "7", "connected", "0-99", "[5->-"])
odd_lines = st.lists(words | st.text(max_size=6), max_size=11).map(" ".join)


@given(st.lists(st.sampled_from(conf()) | odd_lines | st.text(max_size=30), max_size=9).map("\n".join))
def test_any_text_is_judged_and_a_repair_is_without_critical_flaws(text: str) -> None:
    mended = mend(lint(text))
    assert bool(mended.text) != bool(mended.refused)
    if mended.text:
        again = lint(mended.text)
        assert again.grade is not Grade.CRITICAL, again.flaws
        assert mend(again).text == mended.text, "a second repair changes nothing"


def run(capsys: Capsys, path: Path, *words: str) -> Ran:
    return rcfail(capsys, "nodes", "--from", str(path), "--lint", *words)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nodes.conf"
    path.write_text(WHOLE)
    return path


def test_the_exit_code_says_how_bad_it_is(capsys: Capsys, file: Path) -> None:
    assert run(capsys, file).code == 0
    file.write_text(BROKEN["one epoch for two"][0])
    assert run(capsys, file).code == 1
    file.write_text(BROKEN["garbage"][0])
    ran = run(capsys, file, "-o", "json")
    assert ran.code == 2
    data = ran.document["data"]
    assert [(each["line_number"], each["code"]) for each in data["flaws"]] == [(4, "line-garbage")]
    assert (data["myself"], data["repairable"], data["repaired"]) == (A, True, None)
    assert run(capsys, file.with_name("missing")).code == 78


def test_a_copy_is_written_beside_it_and_over_nothing(capsys: Capsys, file: Path) -> None:
    broken = BROKEN["garbage"][0]
    file.write_text(broken)
    file.chmod(0o640)
    beside = file.with_name("nodes.conf.repaired")
    ran = run(capsys, file, "--repair")
    assert ran.code == 2
    assert "line 4 dropped" in ran.out
    assert (file.read_text(), beside.read_text()) == (broken, WHOLE)
    assert beside.stat().st_mode & 0o777 == 0o640
    beside.write_text("mine")
    again = run(capsys, file, "--repair")
    assert (again.code, beside.read_text()) == (64, "mine")
    assert "--force" in again.err
    assert run(capsys, file, "--repair", "--force").code == 2
    assert beside.read_text() == WHOLE
    assert sorted(each.name for each in file.parent.iterdir()) == ["nodes.conf", "nodes.conf.repaired"]


def test_a_copy_of_a_good_file_is_not_called_repaired(capsys: Capsys, file: Path) -> None:
    ran = run(capsys, file, "--repair")
    assert (ran.code, "Nothing had to be mended" in ran.out) == (0, True), ran
    assert file.with_name("nodes.conf.repaired").read_text() == WHOLE
    file.write_text(WHOLE.removesuffix("\n"))
    assert "A repaired copy" in run(capsys, file, "--repair", "--force").out, "the line end is missing"


def test_one_flaw_is_not_counted_twice(capsys: Capsys, file: Path) -> None:
    file.write_text(BROKEN["garbage"][0])
    assert "1 critical flaw\n" in run(capsys, file).out


def test_the_file_itself_is_never_written(capsys: Capsys, file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file)
    for place in (file, tmp_path / "link"):
        ran = run(capsys, file, "--repair", str(place), "--force")
        assert ran.code == 64
        assert "never changed in its place" in ran.err
    assert file.read_text() == WHOLE


def test_what_cannot_be_repaired_writes_nothing(capsys: Capsys, file: Path) -> None:
    file.write_text(BROKEN["nobody is itself"][0])
    ran = run(capsys, file, "--repair")
    assert ran.code == 2
    assert "No copy was written" in ran.out
    assert [each.name for each in file.parent.iterdir()] == ["nodes.conf"]
    named = run(capsys, file, "--repair", "--self", A, "-o", "json")
    assert named.document["data"]["repaired"] == f"{file}.repaired"


def test_it_judges_a_file_and_no_server(capsys: Capsys) -> None:
    assert rcfail(capsys, "nodes", "--lint").code == 64
    assert rcfail(capsys, "nodes", "--lint", "-s", "127.0.0.1:1").code == 64

"""The command line as clumsy users type it: words, seeds, passwords where none belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rcfail.exits import ExitCode
from tests.unit.liars import liar, line
from tests.unit.ordeal import QUICK, endure, fails
from tests.unit.wire_servers import closed_port

PASSWORD = "s3cret-kolibri"


# Words


@pytest.mark.parametrize(
    "words",
    [
        ["--password", PASSWORD, "health"],
        ["health", f"--password={PASSWORD}"],
        ["health", "--passwd", PASSWORD],
        ["health", f"--requirepass={PASSWORD}"],
        ["health", "--auth", PASSWORD],
        ["-a", PASSWORD, "health"],
        ["health", f"-a{PASSWORD}"],
        ["health", "--ask-password", PASSWORD],
        ["--ask-password", PASSWORD, "health"],
        ["health", f"redis://:{PASSWORD}@127.0.0.1:1"],
        [f"redis://:{PASSWORD}@127.0.0.1:1"],
        ["health", "-s", f"redis://:{PASSWORD}@127.0.0.1:1"],
        ["health", "-s", f"default:{PASSWORD}@127.0.0.1:1"],
        ["health", "--url", f"redis://:{PASSWORD}@127.0.0.1:1"],
        ["record", f"redis://:{PASSWORD}@h", "x"],
    ],
)
def test_a_password_that_was_typed_where_none_belongs_is_not_repeated(words: list[str]) -> None:
    failure = fails(ExitCode.USAGE, *words, env={"RCFAIL_DEBUG": "1"})
    assert PASSWORD not in f"{failure}"


@pytest.mark.parametrize("seeds", [f"user:{PASSWORD}@h:1", f"redis://:{PASSWORD}@h:1"])
def test_nor_one_that_stands_in_the_seeds_of_the_environment(seeds: str) -> None:
    assert PASSWORD not in f"{fails(ExitCode.CONFIG, 'health', env={'RCFAIL_SEEDS': seeds, 'RCFAIL_DEBUG': '1'})}"


@pytest.mark.parametrize(
    "words",
    [
        "health -s 127.0.0.1:0", "health -s 127.0.0.1:99999", "health -s 127.0.0.1:-1", "health -s 127.0.0.1:",
        "health -s :6379", "health -s ''", "health -s ,", "health -s [::1", "health -s [::1]:x", "health -s 'a b:1'",
        "health -s 127.0.0.1:7000@17000", "health -s 127.0.0.1:٣", "health -s a/b:1",
        "health -s $'a\\e[2J:1'", "health", "nodes", "record x", "record",
        "health --deadline 0", "health --deadline -1", "health --deadline 1e3",
        "health --deadline inf", "health --deadline 99999999h", "health --deadline ''", "health --wait soon",
        "health --wait 5s --from-record x", "health --from-record x -s y", "nodes --from x --from-record y",
        "nodes --from x -s y", "record x --from-record y", "health --ask-password --password-file x -s y",
        "health --ask-password -s 127.0.0.1:1", "health --ignore nonsense -s x", "health --ignore '' -s x",
        "health --min-replicas -1", "health --max-lag-bytes 1.5", "health --max-lag-s many", "health --fail-on unknown",
        "health health", "health --nosuch", "nosuch", "helth", "check", "fix", "del-node x y", "--cluster check h:1",
        "$'\\e[31m'", "explain nonsense", "explain ../../etc/passwd", "explain $'\\e[2J'", "lab nosuch",
        "lab fault nosuch", "lab up --primaries 0", "lab up --primaries -1", "lab up --primaries 999999",
        "lab up ../../x", "lab up --server /nope", "lab up --server /bin/true", "lab up --base-port 70000",
        "lab down nosuch", "lab status nosuch", "lab fault kill n1 --lab nosuch", "lab up --conf 'port 1'",
        "lab up --node-timeout x", "lab down x --all", "exit-codes x", "-v", "--verbose health",
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_a_line_and_a_hint(words: str, tmp_path: Path) -> None:
    split = subprocess.run(
        ["bash", "-c", f'printf "%s\\0" {words}'], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    args = split.stdout.decode().split("\0")[:-1]
    failure = fails(ExitCode.USAGE, *args, env={"RCFAIL_LAB_HOME": str(tmp_path / "labs")})
    assert not (tmp_path / "labs").exists() or not list((tmp_path / "labs").glob("[!.]*"))
    assert failure.document["verdict"] is None


@pytest.mark.parametrize("kind", ["xml", "JSON", "", "\x1b[2J"])
def test_a_form_of_output_that_does_not_exist(kind: str) -> None:
    for words in (["-o", kind, "health"], ["health", "-o", kind, "-s", "x"]):
        ended = endure(*words)
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert "is not one of 'text', 'json'" in ended.err
        assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize("words", [[], ["lab"], ["lab", "fault"]])
def test_no_command_is_answered_with_the_help_and_a_line(words: list[str]) -> None:
    ended = endure(*words)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert ended.err.startswith("Usage: rcfail")
    assert "\nrcfail: error: no command was given\nhint: " in ended.err
    assert endure(*words, "-o", "json").document["errors"][0]["message"] in ("no command was given", "missing command")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--password-file", "/no/such"], "no such file"),
        (["--password-file", "/"], "is a directory"),
        (["--password-file", os.devnull], "does not hold one line of text"),
        (["--password-file", "/dev/zero"], "does not hold one line of text"),
        (["--password-file", ""], "no such file"),
        (["--password-file", __file__], "does not hold one line of text"),
    ],
)
def test_a_password_file_that_holds_no_password(words: list[str], message: str) -> None:
    assert message in fails(ExitCode.CONFIG, "health", "-s", "127.0.0.1:1", *words).error


@pytest.mark.parametrize("path", ["/no/such/seen.json", "/", "x" * 300, "", "/dev/full"])
def test_a_record_that_cannot_be_written(path: str) -> None:
    if path == "/dev/full" and not os.path.exists(path):
        pytest.skip("this system has no /dev/full")
    fails(ExitCode.CONFIG, "record", path, "-s", str(closed_port()))


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("kept")
    fails(ExitCode.USAGE, "record", str(path), "-s", str(closed_port()))
    assert path.read_text() == "kept"


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ("no-such-host.invalid:1", "has a name that does not resolve"),
        ("no-such-host.invalid", "no-such-host.invalid:6379 has a name"),
        ("[::1]:1", "[::1]:1 "),
        ("localhost:1", ":1 refuses the connection"),
        ("127.1:1", "127.0.0.1:1 refuses the connection"),
        ("255.255.255.255:1", "cannot be reached"),
    ],
)
def test_a_seed_where_nobody_is(seed: str, message: str) -> None:
    assert message in fails(ExitCode.UNKNOWN, "health", "-s", seed, *QUICK).error


def test_a_seed_that_may_have_been_meant_otherwise_is_doubted_also_where_it_fails() -> None:
    words = ["health", "-s", "::1:7000", "--deadline", "1ms"]  # no time: nothing leaves this machine
    failure = fails(ExitCode.UNKNOWN, *words)
    assert failure.document["notes"] == [
        "::1:7000 was read as an IPv6 address with port 6379; write [::1]:7000 to name the port"
    ]
    assert "note: ::1:7000 was read as an IPv6 address" in endure(*words).err


TWO_ADDRESSES = """
import socket, sys
real = socket.getaddrinfo
def both(host, port, *args, **more):
    if host != "two.test":
        return real(host, port, *args, **more)
    if more.get("flags"):
        raise socket.gaierror("not a number")
    return [found for address in ("127.0.0.2", "127.0.0.1") for found in real(address, port, *args, **more)]
socket.getaddrinfo = both
from rcfail.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_a_name_with_two_addresses_of_which_one_is_silent(tmp_path: Path) -> None:
    """As localhost is ::1 and 127.0.0.1, and the server listens on one of them."""
    with liar(lambda place: line("me", f"{place}@1", "myself,master", slots="0-16383").encode()) as seed:
        port = seed.split(":")[1]
        ended = endure("nodes", "-s", f"two.test:{port}", *QUICK, script=TWO_ADDRESSES)
        assert (ended.code, ended.err) == (ExitCode.OK, "")
        assert "16384 slots" in ended.out
        health = endure("health", "-s", f"two.test:{port}", *QUICK, "-o", "json", script=TWO_ADDRESSES)
    assert [each["id"] for each in health.document["data"]["silences"]] == []

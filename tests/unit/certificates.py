"""Certificates of every kind, right and wrong, made by openssl for one test run; and servers that show them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.unit.wire_servers import TURN_S, Behaviour, Call, OddServer

NEEDS_OPENSSL = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
PASSPHRASE = "open sesame"

_SUBJECTS = {
    "address": "IP:127.0.0.1,IP:::1",
    "name": "DNS:n1.example,DNS:*.wild.example",
    "expired": "IP:127.0.0.1",
    "common": "",
    "local": "DNS:localhost",
    "client": "DNS:operator",
}


class Certificates:
    """PEM files in one folder: NAME.crt and NAME.key, the authorities `ca` and `other`, and `locked.key`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for authority in ("ca", "other"):
            self._run("req", "-x509", "-nodes", *self._new(authority), "-subj", f"/CN={authority}", "-days", "2")
        for name, alternatives in _SUBJECTS.items():
            self._signed(name, alternatives, "ca", "-1" if name == "expired" else "2")
        self._signed("stranger", "DNS:stranger", "other", "2")
        self._run("pkey", "-in", "client.key", "-aes256", "-passout", f"pass:{PASSPHRASE}", "-out", "locked.key")

    def path(self, file: str) -> str:
        return str(self._folder / file)

    def _signed(self, name: str, alternatives: str, authority: str, days: str) -> None:
        self._run("req", "-nodes", *self._new(name)[:-1], f"{name}.csr", "-subj", f"/CN={name}.example")
        more = self._folder / f"{name}.ext"
        more.write_text(f"subjectAltName={alternatives}\n" if alternatives else "basicConstraints=CA:FALSE\n")
        signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
        words = ("-in", f"{name}.csr", "-out", f"{name}.crt", "-days", days, "-extfile", more.name)
        self._run("x509", "-req", *words, *signer)

    def _new(self, name: str) -> list[str]:
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        return [*kind, "-keyout", f"{name}.key", "-out", f"{name}.crt"]

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=60)


class SecuredServer(OddServer):
    """An odd server behind TLS. `asked_for` are the names that clients sent as SNI, None where one sent none."""

    def __init__(
        self,
        certificates: Certificates,
        behave: Behaviour,
        shows: str = "address",
        wants: str | None = None,
        host: str = "127.0.0.1",
        newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        super().__init__(behave, host)
        self.asked_for: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates.path(f"{shows}.crt"), certificates.path(f"{shows}.key"))
        self.context.maximum_version = newest
        self.context.sni_callback = lambda _, name, __: self.asked_for.append(name)
        if wants is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(certificates.path(f"{wants}.crt"))

    def _serve(self, call: Call) -> None:
        call.sock.settimeout(20)
        try:
            secured = self.context.wrap_socket(call.sock, server_side=True)
        except OSError:
            call.sock.close()
            return
        with secured:
            secured.settimeout(TURN_S)
            call.sock = secured
            self._behave(call)

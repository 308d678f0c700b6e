"""TLS on a connected socket, within the door's own bounds. `ssl` is imported only when it is used."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rcfail.clock import Deadline
from rcfail.cluster.observation import SilenceReason
from rcfail.errors import ConfigFault
from rcfail.wire.bounds import Unheard

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSocket

_PEM_HINT = "Name a file in PEM form: it begins with -----BEGIN."
_NAMES_TOLD = 4
_MOST_BYTES = 1024 * 1024
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")

# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (x509_vfy.h).
_OUT_OF_DATE = {9: "not yet valid", 10: "expired"}

# What OpenSSL says when bytes that came are no TLS record.
_PLAIN_SPEECH = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What to trust and what to show. Paths of PEM files; without a CA those of the system are trusted.

    `server_name` replaces every name that a node goes by.
    """

    ca_file: str | None = None
    ca_dir: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    check_chain: bool = True
    check_name: bool = True


class Guard:
    """Makes a connected socket a secured one, and checks who is at its other end."""

    def __init__(self, terms: Terms, ask_passphrase: Callable[[str], str | None] | None = None) -> None:
        """Reads all files. Raises ConfigFault.

        `ask_passphrase` gets the path of a locked key; without it such a key stays locked.
        """
        self._terms = terms
        self._context = _context(terms, ask_passphrase)

    def secure(self, sock: socket.socket, names: Sequence[str], ends: Deadline) -> SSLSocket:
        """Shake hands until `ends`. `names` are all that the node goes by, one of which its certificate must be for.

        Raises Unheard, and closes the socket then.
        """
        expected = (self._terms.server_name,) if self._terms.server_name else tuple(dict.fromkeys(names))
        try:
            secured = self._context.wrap_socket(sock, server_hostname=_sni(expected), do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            sock.close()
            raise handshake_failure(error) from None
        try:
            secured.settimeout(max(0.001, ends.remaining_s()))
            with _cut_at(secured, ends):
                secured.do_handshake()
            if self._terms.check_chain and self._terms.check_name:
                _check_name(secured.getpeercert() or {}, expected)
        except (OSError, ValueError) as error:
            secured.close()
            raise handshake_failure(TimeoutError() if ends.passed() else error) from None
        except Unheard:
            secured.close()
            raise
        return secured

    @property
    def shows_certificate(self) -> bool:
        """Whether a server that wants a certificate of ours gets one."""
        return self._terms.cert_file is not None


@contextmanager
def _cut_at(sock: socket.socket, ends: Deadline) -> Iterator[None]:
    """End the connection when the time is over: OpenSSL looks at no timeout while bytes keep coming.

    Such as HelloRequests without end, which it passes over (TLS 1.2), so that one handshake would last for ever.
    """

    def cut() -> None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.001, ends.remaining_s()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _sni(names: Sequence[str]) -> str | None:
    """The first host name among them: an address is none (RFC 6066, 3), and what a view calls so may be anything."""
    return next((name for name in names if _HOST_NAME.fullmatch(name) and _packed(name) is None), None)


def _packed(host: str) -> bytes | None:
    """An IP literal as its bytes, so that two spellings of one address are equal; None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue
    return None


def _check_name(certificate: Mapping[str, Any], expected: Sequence[str]) -> None:
    """Raises Unheard when the certificate is for none of the names."""
    alternatives: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())
    dns = [name for kind, name in alternatives if kind == "DNS"]
    addresses = [name.strip() for kind, name in alternatives if kind == "IP Address"]
    if not alternatives:
        # Certificates as redis's own scripts make them have no more than a common name.
        dns = list(_common_names(certificate))
    if any(_is_for(dns, addresses, name) for name in expected):
        return
    told = [*dns, *addresses]
    shown = ", ".join(told[:_NAMES_TOLD]) + (f" and {len(told) - _NAMES_TOLD} more" if len(told) > _NAMES_TOLD else "")
    raise Unheard(SilenceReason.TLS_NAME, f"it is for {shown or 'no name'}, not for {' or '.join(expected)}")


def _common_names(certificate: Mapping[str, Any]) -> Iterator[str]:
    for group in certificate.get("subject", ()):
        for key, value in group:
            if key == "commonName":
                yield value


def _is_for(dns: Sequence[str], addresses: Sequence[str], name: str) -> bool:
    packed = _packed(name)
    if packed is not None:
        return any(_packed(address) == packed for address in addresses)
    return any(_matches(pattern, name) for pattern in dns)


def _matches(pattern: str, name: str) -> bool:
    """Whether a DNS name of a certificate covers a host name: a star stands for the whole first label (RFC 6125)."""
    pattern, name = pattern.rstrip(".").lower(), name.rstrip(".").lower()
    if not pattern.startswith("*."):
        return pattern == name
    first, dot, rest = name.partition(".")
    return bool(first and dot) and rest == pattern[2:] and "." in rest


def handshake_failure(error: Exception) -> Unheard:
    """Why no secured connection stands, from what the ssl module or the socket raised."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        said = _OUT_OF_DATE.get(error.verify_code)
        if said:
            return Unheard(SilenceReason.TLS_EXPIRED, f"it is {said}")
        return Unheard(SilenceReason.TLS_UNTRUSTED, error.verify_message.lower())
    if isinstance(error, TimeoutError):
        return Unheard(SilenceReason.FROZEN, "took the connection, and no TLS handshake came about in time")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        # Redis says nothing before the handshake, also not that it takes no more clients (networking.c).
        text = "ended the connection in the TLS handshake, as a server does that takes no more clients"
        return Unheard(SilenceReason.CLOSED, text)
    if isinstance(error, ssl.SSLError):
        return alert(error) or Unheard(SilenceReason.TLS_FAILED, _reason(error))
    words = error.strerror if isinstance(error, OSError) else None
    return Unheard(SilenceReason.UNREACHABLE, (words or "the connection broke").lower())


def alert(error: OSError) -> Unheard | None:
    """What a TLS error tells of the other side, at the handshake or (TLS 1.3) with the first answer; else None."""
    reason = getattr(error, "reason", None)
    if not isinstance(reason, str):
        return None
    if reason in _PLAIN_SPEECH:
        return Unheard(SilenceReason.NOT_TLS, "answered the TLS handshake with something else")
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        if "CERTIFICATE_REQUIRED" in reason:
            return Unheard(SilenceReason.TLS_CLIENT_CERT, "it was shown none")
        return Unheard(SilenceReason.TLS_CLIENT_CERT, f"it refuses ours: {_reason(error)}")
    return Unheard(SilenceReason.TLS_FAILED, _reason(error))


def _reason(error: OSError) -> str:
    """OpenSSL's name of the fault as words: TLSV1_ALERT_UNKNOWN_CA is `unknown ca`."""
    words = (getattr(error, "reason", None) or "no reason given").lower().split("_")
    return " ".join(words[words.index("alert") + 1 :] if "alert" in words[:-1] else words)


def _context(terms: Terms, ask_passphrase: Callable[[str], str | None] | None) -> SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A node goes by several names, of which OpenSSL would check one: `_check_name` looks at all.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if terms.check_chain else ssl.CERT_NONE
    if terms.check_chain:
        _trust(context, terms)
    if terms.cert_file:
        _show(context, terms.cert_file, terms.key_file, ask_passphrase)
    return context


def _trust(context: SSLContext, terms: Terms) -> None:
    import ssl

    if terms.ca_dir and not os.path.isdir(terms.ca_dir):
        raise ConfigFault(
            f"CA directory {terms.ca_dir}: is no directory", "Name one that `openssl rehash` has readied."
        )
    if not terms.ca_file and not terms.ca_dir:
        context.load_default_certs()
        return
    if terms.ca_file:
        _readable("CA file", terms.ca_file)
    try:
        context.load_verify_locations(terms.ca_file, terms.ca_dir)
    except (ssl.SSLError, OSError):
        raise ConfigFault(f"CA file {terms.ca_file}: holds no certificate", _PEM_HINT) from None


def _show(
    context: SSLContext, cert_file: str, key_file: str | None, ask_passphrase: Callable[[str], str | None] | None
) -> None:
    import ssl

    holder = key_file or cert_file
    _readable("certificate", cert_file)
    if key_file:
        _readable("key", key_file)
    locked: list[bool] = []

    def passphrase() -> str:
        """Without this OpenSSL itself would ask on the terminal, and a check would hang for ever."""
        locked.append(True)
        return (ask_passphrase(holder) if ask_passphrase else None) or ""

    try:
        context.load_cert_chain(cert_file, key_file, password=passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise _unusable(error, cert_file, holder, bool(locked), ask_passphrase is not None) from None


def _unusable(error: Exception, cert_file: str, key_file: str, locked: bool, asked: bool) -> ConfigFault:
    if locked and asked:
        return ConfigFault(f"key {key_file}: the passphrase does not open it", "Type the passphrase of the key.")
    if locked:
        return ConfigFault(
            f"key {key_file}: it needs a passphrase, and there is no terminal to ask on",
            f"Write it without one, readable by you alone: openssl pkey -in {key_file} -out FILE",
        )
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return ConfigFault(f"key {key_file}: does not belong to the certificate {cert_file}", "Name the pair of them.")
    if not _holds(cert_file, b"CERTIFICATE-----"):
        return ConfigFault(f"certificate {cert_file}: holds no certificate", _PEM_HINT)
    return ConfigFault(f"key {key_file}: holds no private key", "Name the file that holds it: --key FILE.")


def _holds(path: str, words: bytes) -> bool:
    with open(path, "rb") as file:
        return words in file.read(_MOST_BYTES)


def _readable(what: str, path: str) -> None:
    """The ssl module does not say which of two files cannot be opened, and waits for ever for a pipe."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise ConfigFault(f"{what} {path}: is a pipe, and is read more than once", _PEM_HINT)
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        reason = os.strerror(errno.EISDIR) if error.errno == errno.EISDIR else error.strerror or "cannot be read"
        raise ConfigFault(f"{what} {path}: {reason.lower()}", _PEM_HINT) from None

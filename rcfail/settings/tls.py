"""How TLS is asked for: flags and variables become one frozen section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rcfail.errors import ConfigFault, RcfailError, UsageFault
from rcfail.settings.sections import Tls, Verify

_YES = frozenset({"1", "yes", "true", "on"})
_NO = frozenset({"0", "no", "false", "off"})


class TlsFlags(Protocol):
    """The options about TLS as they stand on the command line."""

    @property
    def tls(self) -> bool | None: ...
    @property
    def cacert(self) -> str | None: ...
    @property
    def cacertdir(self) -> str | None: ...
    @property
    def cert(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def sni(self) -> str | None: ...
    @property
    def tls_verify(self) -> str | None: ...
    @property
    def insecure(self) -> bool: ...


def tls_of(flags: TlsFlags, env: Mapping[str, str]) -> Tls:
    """TLS is on when it is asked for, and when any of its files is named and it is not forbidden."""
    named = Tls(
        ca_file=flags.cacert or env.get("RCFAIL_CACERT") or None,
        ca_dir=flags.cacertdir or env.get("RCFAIL_CACERTDIR") or None,
        cert_file=flags.cert or env.get("RCFAIL_CERT") or None,
        key_file=flags.key or env.get("RCFAIL_KEY") or None,
        server_name=flags.sni or env.get("RCFAIL_SNI") or None,
        verify=_verify(flags, env),
    )
    wanted = flags.tls if flags.tls is not None else truth("RCFAIL_TLS", env)
    if not (wanted if wanted is not None else named != Tls()):
        return Tls()
    if named.key_file and not named.cert_file:
        fault: type[RcfailError] = UsageFault if flags.key else ConfigFault
        raise fault("a key was named without its certificate", "Name both: --cert FILE --key FILE.")
    return Tls(True, named.ca_file, named.ca_dir, named.cert_file, named.key_file, named.server_name, named.verify)


def truth(name: str, env: Mapping[str, str]) -> bool | None:
    """A variable that says yes or no; None where it is not set. Raises ConfigFault."""
    said = env.get(name, "").strip().lower()
    if not said:
        return None
    if said not in _YES | _NO:
        raise ConfigFault(f"{name} is neither yes nor no", f"Write it as {name}=1 or {name}=0.")
    return said in _YES


def _verify(flags: TlsFlags, env: Mapping[str, str]) -> Verify:
    if flags.insecure:
        if flags.tls_verify not in (None, Verify.NONE):
            raise UsageFault("--insecure and --tls-verify exclude each other", "Give one of them.")
        return Verify.NONE
    if flags.tls_verify:
        return Verify(flags.tls_verify)
    said = env.get("RCFAIL_TLS_VERIFY", "").strip().lower() or Verify.FULL
    if said not in tuple(Verify):
        raise ConfigFault("RCFAIL_TLS_VERIFY is none of full, ca and none", "Write it as RCFAIL_TLS_VERIFY=full.")
    return Verify(said)

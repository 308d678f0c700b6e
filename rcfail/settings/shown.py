"""The settings as rows to show: what is used, and where it comes from. A password is never among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.settings.sections import SecretKind, SecretSource, Settings, Tls, Verify

DEFAULT = "default"


class Setting(NamedTuple):
    """One row. `value` None: not set."""

    key: str
    value: str | int | float | bool | None
    origin: str


def shown(settings: Settings) -> tuple[Setting, ...]:
    """Every setting in the order of the config file; `origin` is a flag, a variable, the file, or `default`."""
    origins = dict(settings.origins)
    return tuple(Setting(key, value, origins.get(key, DEFAULT)) for key, value in _values(settings))


def _values(settings: Settings) -> Iterator[tuple[str, str | int | float | bool | None]]:
    target, limits, wanted = settings.target, settings.limits, settings.wanted
    yield "cluster", target.name
    yield "seeds", ", ".join(map(str, target.seeds)) or None
    yield "user", target.user
    yield "password", _place(target.secret)
    yield from _tls(settings.tls)
    yield "natmap", ", ".join(settings.natmap.rules) or None
    yield "zones", ", ".join(f"{pattern}={zone}" for pattern, zone in settings.zones.rules) or None
    yield "deadline", f"{limits.deadline_s:g}s"
    yield "connect_timeout", f"{limits.connect_s:g}s"
    yield "read_timeout", f"{limits.read_s:g}s"
    yield "min_replicas", wanted.min_replicas
    yield "max_lag_bytes", wanted.max_lag_bytes
    yield "max_lag_s", wanted.max_lag_s


def _tls(tls: Tls) -> Iterator[tuple[str, str | bool | None]]:
    yield "tls.enabled", tls.enabled
    if not tls.enabled:
        return
    yield "tls.ca_file", tls.ca_file
    yield "tls.ca_dir", tls.ca_dir
    yield "tls.cert_file", tls.cert_file
    yield "tls.key_file", tls.key_file
    yield "tls.server_name", tls.server_name
    yield "tls.verify", tls.verify.value if tls.verify is not Verify.NONE else "none: nobody is checked"


def _place(source: SecretSource) -> str | None:
    """Where the password is, not the password."""
    match source.kind:
        case SecretKind.NONE:
            return None
        case SecretKind.PROMPT:
            return "asked for on the terminal"
        case SecretKind.FILE:
            return f"in the file {source.name}"
        case SecretKind.ENVIRONMENT:
            return f"in the variable {source.name}"

"""What each key of a named cluster may hold: one check a key, which converts the value as TOML gave it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rcfail.cluster.natmap import as_told
from rcfail.cluster.natmap import fault_in as natmap_fault
from rcfail.cluster.zones import fault_in as zone_fault
from rcfail.settings.durations import parse_duration_s
from rcfail.settings.sections import Verify
from rcfail.settings.seeds import BadSeed, parse_seeds

SECRETS_NOT_KEPT = frozenset({"password", "passphrase", "secret", "auth", "pass", "requirepass", "masterauth"})


class Wrong(ValueError):
    """A value that cannot be used, in words that follow its key."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.hint = hint


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Wrong("is no text", 'Write it in quotes: key = "value".')
    return value


def _variable(value: object) -> str:
    """What is no name may be the password itself, and is not repeated."""
    text = _text(value)
    if not (text.isascii() and text.isidentifier()):
        raise Wrong("is no name of a variable", 'Write its name, not what it holds: password_env = "PROD_PASSWORD".')
    return text


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong("is neither true nor false", "Write it without quotes.")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Wrong("is no whole number from 0 on", "Write it without quotes.")
    return value


def _duration(value: object) -> float:
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return parse_duration_s(str(value))
    except ValueError as error:
        raise Wrong(f"cannot be: {error}", 'Write it as "500ms", "30s" or "5m".') from None
    raise Wrong("is no duration", 'Write it as "500ms", "30s" or "5m".')


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts, or one text with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise Wrong("is no list of texts", 'Write it as ["...", "..."].')


def _seeds(value: object) -> tuple[str, ...]:
    texts = _texts(value)
    try:
        for text in texts:
            parse_seeds(text)
    except BadSeed as error:
        raise Wrong(f"cannot be: {error}", 'Write it as ["10.0.0.5:6379", "[::1]:7000"].') from None
    return texts


def _natmap(value: object) -> tuple[str, ...]:
    rules = _texts(value)
    for rule in rules:
        if fault := natmap_fault(rule):
            raise Wrong(f"cannot be: {as_told(rule)!r} {fault}", 'Write it as ["10.0.0.5:6379=127.0.0.1:7001"].')
    return rules


def _zones(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise Wrong("is no table of patterns and zones", 'Write below its header: "10.0.1.*" = "east".')
    for pattern, zone in value.items():
        if fault := zone_fault(pattern, zone):
            raise Wrong(f"{fault} ({pattern!r})", 'Write it as "10.0.1.*" = "east".')
    return tuple(value.items())


def _verify(value: object) -> str:
    if value not in tuple(Verify):
        raise Wrong("is none of full, ca and none", 'Write it as "full".')
    return str(value)


KEYS: Mapping[str, Callable[[object], Any]] = {
    "seeds": _seeds,
    "user": _text,
    "password_file": _text,
    "password_env": _variable,
    "ask_password": _truth,
    "natmap": _natmap,
    "zones": _zones,
    "deadline": _duration,
    "connect_timeout": _duration,
    "read_timeout": _duration,
    "min_replicas": _count,
    "max_lag_bytes": _count,
    "max_lag_s": _count,
    "tls": _truth,
    "tls.enabled": _truth,
    "tls.ca_file": _text,
    "tls.ca_dir": _text,
    "tls.cert_file": _text,
    "tls.key_file": _text,
    "tls.server_name": _text,
    "tls.verify": _verify,
}
"""`tls` is true, false, or a table, which means true."""

TABLES = ("tls",)

"""Named clusters: what stands in the config file, read and checked. A file never holds a password itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rcfail.errors import ConfigFault
from rcfail.pipes import read_file
from rcfail.settings.layers import NamedCluster
from rcfail.settings.shapes import KEYS, SECRETS_NOT_KEPT, TABLES, Wrong

_LONGEST_BYTES = 128 * 1024
_CHAIN = re.compile(r"(?:\.[ \t]*[^\s.,=]+[ \t]*){200}")
"""Names chained by dots, more than any key or host name has: tomllib works for minutes on a key of 60,000."""
_EXAMPLE = 'Write it as [clusters.prod], and below it seeds = ["10.0.0.5:6379"].'
_SECRET_HINT = "Say where it is instead: password_file = FILE, password_env = NAME, or ask_password = true."
# `redis-cli --cluster check h:1` is what fingers know.
_FOREIGN = {word: f"For redis-cli's --cluster {word}, say: rcfail health -s HOST:PORT" for word in ("check", "info")}
_SECRET_SOURCES = ("password_file", "password_env")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file as it was read. `tables` are the clusters, not yet checked."""

    path: str
    text: str
    tables: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def cluster(self, name: str) -> NamedCluster:
        """One cluster, checked. Raises ConfigFault."""
        if name not in self.tables:
            hint = (
                _FOREIGN.get(name)
                or _near(name, self.names)
                or (f"It has: {', '.join(self.names)}." if self.names else f"It has none. {_EXAMPLE}")
            )
            raise ConfigFault(f"{self.path} has no cluster '{name}'", hint)
        table = self.tables[name]
        if not isinstance(table, dict):
            raise ConfigFault(f"{self.path}: clusters.{name} is no table", _EXAMPLE)
        return NamedCluster(name, self.path, dict(self._values(table, f"clusters.{name}", "")))

    def _values(self, table: Mapping[str, Any], where: str, prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in table.items():
            full = f"{prefix}{key}"
            if full in TABLES and isinstance(value, dict):
                yield from self._values(value, f"{where}.{key}", f"{full}.")
                if full == "tls":
                    yield "tls", True
            else:
                yield full, self._value(full, key, value, where)

    def _value(self, full: str, key: str, value: object, where: str) -> Any:
        place = f"{self.path}{_line_of(self.text, where, key)}"
        if key in SECRETS_NOT_KEPT:
            raise ConfigFault(f"{place}: {where} holds a {key}, which no file of ours keeps", _SECRET_HINT)
        prefix = full[: len(full) - len(key)]
        known = [each.removeprefix(prefix) for each in (*KEYS, *TABLES) if each.startswith(prefix)]
        if full not in KEYS:
            hint = _near(key, known) or f"It may hold: {', '.join(each for each in known if '.' not in each)}."
            raise ConfigFault(f"{place}: {where} has no key '{key}'", hint)
        try:
            found = KEYS[full](value)
        except Wrong as wrong:
            raise ConfigFault(f"{place}: {where}.{key} {wrong}", wrong.hint) from None
        return _path(found, self.path) if full.endswith(("_file", "_dir")) else found


def read_config(path: str, *, missing_ok: bool = False) -> ConfigFile:
    """Raises ConfigFault. A file that is not there has no clusters where `missing_ok`."""
    text = _text(path, missing_ok)
    import tomllib

    if _CHAIN.search(text):
        raise ConfigFault(f"{path} is no TOML that anybody wrote: it is nested too deeply", _EXAMPLE)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFault(f"{path} is no TOML: {str(error)[:1].lower()}{str(error)[1:]}", _EXAMPLE) from None
    except ValueError:  # int() of a number with thousands of digits
        raise ConfigFault(f"{path} is no TOML that anybody wrote: it holds a number too long", _EXAMPLE) from None
    except RecursionError:
        raise ConfigFault(f"{path} is no TOML that anybody wrote: it is nested too deeply", _EXAMPLE) from None
    for key in document:
        if key != "clusters":
            hint = _near(key, ("clusters",)) or _EXAMPLE
            raise ConfigFault(f"{path}{_line_of(text, '', key)}: there is no key '{key}'", hint)
    tables = document.get("clusters", {})
    if not isinstance(tables, dict):
        raise ConfigFault(f"{path}: clusters is no table", _EXAMPLE)
    return ConfigFile(path, text, tables)


def file_notes(named: NamedCluster) -> tuple[str, ...]:
    """What the user should know about the file: that others can change it, or read where secrets are."""
    try:
        mode = os.stat(named.path).st_mode
    except OSError:
        return ()
    if not stat.S_ISREG(mode):
        return ()
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (f"other users can change {named.path}, and so where passwords are sent: chmod 600 {named.path}",)
    if mode & (stat.S_IRGRP | stat.S_IROTH) and any(key in named.values for key in _SECRET_SOURCES):
        return (f"other users can read in {named.path} where passwords are: chmod 600 {named.path}",)
    return ()


def _text(path: str, missing_ok: bool) -> str:
    try:
        raw = read_file(path, _LONGEST_BYTES + 1)
    except FileNotFoundError:
        if missing_ok:
            return ""
        raise ConfigFault(f"config file {path}: no such file", f"Make one. {_EXAMPLE}") from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else None
        raise ConfigFault(f"config file {path}: {(words or 'cannot be read').lower()}", _EXAMPLE) from None
    if len(raw) > _LONGEST_BYTES:
        raise ConfigFault(f"config file {path}: more than {_LONGEST_BYTES >> 10} KiB", _EXAMPLE)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ConfigFault(f"config file {path}: is no text in UTF-8", _EXAMPLE) from None


def _path(text: str, config: str) -> str:
    """`~` is the user's home, and what is relative is meant from where the config file is."""
    return os.path.join(os.path.dirname(os.path.abspath(config)), os.path.expanduser(text))


def _near(word: str, known: tuple[str, ...] | list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else ""


def _line_of(text: str, table: str, key: str) -> str:
    """`, line 7`, where the key is written below the header of its table; tomllib itself keeps no lines."""
    header = ""
    for number, row in enumerate(text.splitlines(), 1):
        line = row.strip()
        if line.startswith("["):
            header = _plain(line.partition("]")[0].lstrip("["))
            if _plain(f"{table}.{key}" if table else key) == header:
                return f", line {number}"
            continue
        name = f"{header}.{_plain(line.partition('=')[0])}" if header else _plain(line.partition("=")[0])
        if "=" in line and name == _plain(f"{table}.{key}" if table else key):
            return f", line {number}"
    return ""


def _plain(dotted: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in dotted.split("."))

"""An observation as a file, to be judged again offline: JSON, gzipped where the name ends in .gz.

What is read back is equal to what was saved, after `redact`: passwords are never in an observation, and the
paths and programs that INFO tells of a server's machine are taken out here.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rcfail.cluster.observation import Answer, Observation
from rcfail.errors import ConfigFault
from rcfail.pipes import read_file, write_through
from rcfail.wire.record_form import SCHEMA, Malformed, observation_from, observation_to

MOST_BYTES = 256 * 1024 * 1024
MOST_CONTAINERS = 2_000_000
MOST_VALUES = 4_000_000
"""A record of 1,000 nodes has 23 MiB with 19,000 containers. A file made to harm can hold 200 MiB of `[],`, which as
Python objects would be 25 times as large."""

_GZIP = b"\x1f\x8b"
_HINT = "Make one with `rcfail record FILE`, then read it with `--from-record FILE`."

_PATH_FIELDS = ("executable", "config_file")
# None of these is asked for; should one ever be answered, it is not saved.
_SECRET_WORDS = ("pass", "auth", "user", "secret", "key-file", "token")


def save(observation: Observation, path: str) -> None:
    """Write the observation, redacted. Raises ConfigFault when the file cannot be written."""
    raw = json.dumps(observation_to(redact(observation)), separators=(",", ":")).encode("ascii")
    if path.endswith(".gz"):
        import gzip

        raw = gzip.compress(raw, 6, mtime=0)
    try:
        _write(Path(path), raw)
    except OSError as error:
        raise ConfigFault(f"{path}: {_why(error)}", "Name a file in a directory that you may write to.") from None


def load(path: str) -> Observation:
    """Read a saved observation. Raises ConfigFault when there is none in the file."""
    try:
        raw = _unpacked(_read(Path(path)))
    except OSError as error:
        raise ConfigFault(f"{path}: {_why(error)}", _HINT) from None
    except Malformed as error:
        raise ConfigFault(f"{path}: {error}", _HINT) from None
    try:
        return observation_from(_document(raw))
    except Malformed as error:
        raise ConfigFault(f"{path} is not a record: {error}", _HINT) from None


def redact(observation: Observation) -> Observation:
    """The observation without what tells of the servers' machines: programs, paths, sockets in the file system."""
    return replace(
        observation,
        answers=tuple(_redacted(answer) for answer in observation.answers),
        doubles=tuple(_redacted(answer) for answer in observation.doubles),
    )


def _redacted(answer: Answer) -> Answer:
    info = None if answer.info is None else "".join(filter(_harmless, answer.info.splitlines(keepends=True)))
    config = None if answer.config is None else dict(filter(_open_setting, answer.config.items()))
    return replace(answer, info=info, config=config)


def _harmless(line: str) -> bool:
    name, _, value = line.partition(":")
    return name not in _PATH_FIELDS and not value.startswith("/") and "=/" not in value


def _open_setting(item: tuple[str, str]) -> bool:
    name, value = item
    return "/" not in value and not any(word in name for word in _SECRET_WORDS)


def _write(path: Path, raw: bytes) -> None:
    """All or nothing: a record that was cut off would be worse than none."""
    if path.exists() and not path.is_file():  # such as /dev/stdout
        write_through(str(path), raw)
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", delete=False) as file:
        try:
            file.write(raw)
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _read(path: Path) -> bytes:
    return _within(read_file(str(path), MOST_BYTES + 1))


def _unpacked(raw: bytes) -> bytes:
    if not raw.startswith(_GZIP):
        return raw
    import gzip
    import io
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return _within(file.read(MOST_BYTES + 1))
    except (OSError, EOFError, zlib.error):
        raise Malformed("the gzip file is broken or cut off") from None


def _within(raw: bytes) -> bytes:
    if len(raw) > MOST_BYTES:
        raise Malformed(f"holds more than {MOST_BYTES} bytes")
    return raw


def _document(raw: bytes) -> Mapping[str, Any]:
    if not raw.strip():
        raise Malformed("the file is empty")
    if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS or raw.count(b",") > MOST_VALUES:
        raise Malformed("it holds more values than any cluster has")
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("the file does not hold JSON") from None
    if not isinstance(document, dict):
        raise Malformed("the file does not hold a JSON object")
    schema = document.get("schema")
    if schema != SCHEMA:
        raise Malformed(f"its schema is {str(schema)[:40]!r}, not {SCHEMA!r}" if schema else f"it names no {SCHEMA!r}")
    return document


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

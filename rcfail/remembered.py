"""What is kept between two runs on this host, one file a cluster: the places that were drained, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from rcfail.change.audit import state_folder
from rcfail.change.drained import Drained, drained_text, read_drained
from rcfail.change.layout import BadLayout, cluster_key
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import Refused
from rcfail.render.whole_file import replace_file

_LONGEST = 1 << 24
_MOST_FILES = 1000


def recall(snapshot: Snapshot) -> tuple[Drained, ...]:
    """The places of this cluster that were drained from here, the earliest first. Raises Refused."""
    return _read(_file_of(snapshot))


def remember(snapshot: Snapshot, change: Callable[[tuple[Drained, ...]], tuple[Drained, ...]]) -> None:
    """Raises Refused where it cannot be kept: without it nobody finds the way back."""
    path = _file_of(snapshot)
    write_state(path, drained_text(change(_read(path))))


def forget(snapshot: Snapshot, within: Collection[NodeId] | None) -> None:
    """The places of these nodes, or all, are as they were before."""
    path = _file_of(snapshot)
    known = _read(path)
    rest = tuple(each for each in known if within is not None and not each.node_ids <= frozenset(within))
    if rest != known:
        write_state(path, drained_text(rest))


def _folder() -> Path:
    return state_folder() / "layouts"


def _file_of(snapshot: Snapshot) -> Path:
    """The file of this cluster. Nodes come and go, so it is the one that shares more than half of its nodes."""
    here = frozenset(snapshot.nodes)
    exact = _folder() / f"{cluster_key(here)}.json"
    if exact.exists():
        return exact
    shared = [(len(here & ids), path) for path, ids in _others()]
    best = max(shared, default=(0, exact))
    return best[1] if best[0] * 2 > len(here) else exact


def _others() -> list[tuple[Path, frozenset[NodeId]]]:
    found = []
    try:
        paths = sorted(_folder().glob("*.json"))[:_MOST_FILES]
    except OSError:
        return []
    for path in paths:
        try:
            entries = read_drained(_text(path))
        except (OSError, BadLayout):
            continue
        found.append((path, frozenset(each for entry in entries for each in entry.before.node_ids)))
    return found


def _read(path: Path) -> tuple[Drained, ...]:
    try:
        return read_drained(_text(path))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Refused(f"the drains on record cannot be read: {path}: {error.strerror}", _ELSEWHERE) from None
    except BadLayout as error:
        raise Refused(f"the drains on record cannot be read: {path} {error}", "Move the file away.") from None


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST).decode("utf-8", "replace")


def write_state(path: Path, text: str) -> None:
    """Whole or not at all. Raises Refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(str(path), text)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}; nothing was sent", _ELSEWHERE) from None


_ELSEWHERE = "Name another folder for what is kept between runs: XDG_STATE_HOME=DIR"

"""What is kept between two runs on this host, one file a cluster: drained places, and an unfinished rolling restart."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from rcfail.change.audit import state_folder
from rcfail.change.many.drained import Drained, drained_text, read_drained
from rcfail.change.many.layout import BadLayout, WrittenLayout, cluster_key
from rcfail.change.many.tour import Tour, read_tour, tour_text
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Snapshot
from rcfail.errors import Refused
from rcfail.render.whole_file import replace_file

_LONGEST = 1 << 24
_MOST_FILES = 1000


def recall(snapshot: Snapshot) -> tuple[Drained, ...]:
    """The places of this cluster that were drained from here, the earliest first. Raises Refused."""
    return _read(_drains_of(snapshot))


def remember(snapshot: Snapshot, change: Callable[[tuple[Drained, ...]], tuple[Drained, ...]]) -> None:
    """Raises Refused where it cannot be kept: without it nobody finds the way back."""
    path = _drains_of(snapshot)
    write_state(path, drained_text(change(_read(path))))


def forget(snapshot: Snapshot, within: Collection[NodeId] | None) -> None:
    """The places of these nodes, or all, are as they were before."""
    path = _drains_of(snapshot)
    known = _read(path)
    rest = tuple(each for each in known if within is not None and not each.node_ids <= frozenset(within))
    if rest != known:
        write_state(path, drained_text(rest))


def recall_tour(snapshot: Snapshot) -> Tour | None:
    """The rolling restart of this cluster that has not come to its end. Raises Refused."""
    path = _tour_of(snapshot)
    try:
        return read_tour(_text(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", _ELSEWHERE) from None
    except BadLayout as error:
        raise Refused(f"{path} {error}", "Move the file away.") from None


def remember_tour(snapshot: Snapshot, tour: Tour) -> None:
    """Raises Refused."""
    write_state(_tour_of(snapshot), tour_text(tour))


def forget_tour(snapshot: Snapshot) -> None:
    with suppress(OSError):
        _tour_of(snapshot).unlink(missing_ok=True)


def _drains_of(snapshot: Snapshot) -> Path:
    return _file_of(snapshot, "layouts", lambda text: [each.before for each in read_drained(text)])


def _tour_of(snapshot: Snapshot) -> Path:
    return _file_of(snapshot, "rolling", lambda text: [read_tour(text).before])


def _file_of(snapshot: Snapshot, folder: str, layouts_in: Callable[[str], list[WrittenLayout]]) -> Path:
    """The file of this cluster. Nodes come and go, so it is the one that shares more than half of its nodes."""
    here = frozenset(snapshot.nodes)
    exact = state_folder() / folder / f"{cluster_key(here)}.json"
    if exact.exists():
        return exact
    best, shared = exact, len(here) // 2
    for path in _files(exact.parent):
        try:
            ids = frozenset(node for each in layouts_in(_text(path)) for node in each.node_ids)
        except (OSError, BadLayout):
            continue
        if len(ids & here) > shared:
            best, shared = path, len(ids & here)
    return best


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json"))[:_MOST_FILES]
    except OSError:
        return []


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

"""What a command hands back: the answer, not yet written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rcfail.exits import ExitCode
from rcfail.render.lines import Line

if TYPE_CHECKING:
    from rcfail.change.readiness import Readiness
    from rcfail.cluster.snapshot import Snapshot
    from rcfail.health.verdict import Diagnosis

Json = Mapping[str, Any]


class Picture(NamedTuple):
    """A cluster and what is wrong with it: what monitors are told of."""

    snapshot: Snapshot
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class ClusterName:
    """Which cluster the answer is about, as far as it was seen. Seeds are host:port."""

    name: str | None = None
    seeds: tuple[str, ...] = ()
    flavour: str | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error of the envelope: a stable code, one line, and a sentence that names the next command."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of one command and the code that the process ends with.

    `text` lays the answer out for a width in columns, `data` makes the value under "data" in the JSON;
    only the one that is asked for is called. `judged` is what monitors are told of, where a cluster was judged,
    `readiness` what they are told by `rcfail ready`.
    `notes` are printed below the answer, `aside` goes to stderr. `told`: all of it was written while it came.
    """

    command: str
    exit_code: ExitCode
    text: Callable[[int], Iterable[Line]]
    data: Callable[[], Json]
    verdict: str | None = None
    cluster: ClusterName = ClusterName()
    notes: tuple[str, ...] = ()
    errors: tuple[Trouble, ...] = ()
    aside: str = ""
    judged: Picture | None = None
    readiness: Readiness | None = None
    told: bool = False

    def of_cluster(self, name: str | None) -> Outcome:
        """The same answer, about the cluster that the config file calls so."""
        return replace(self, cluster=replace(self.cluster, name=name)) if name else self

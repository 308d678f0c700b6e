"""Metrics in the text format of Prometheus, for the textfile collector of node_exporter or a push gateway.

Everything is a gauge: it tells of one look. A question with few answers ("ok", "warning", ...) is one series for
each answer, the true one 1 and the others 0, so that a rule names what it means and no series comes and goes.
What could not be found out has no series, and never the value of something good. Nothing has a timestamp of its
own, for the collector refuses a file with one: the time of the run is a metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rcfail import __version__
from rcfail.cluster.nouns import SLOT_COUNT
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.finding import Severity
from rcfail.health.verdict import Diagnosis, Verdict
from rcfail.render.inert import inert
from rcfail.render.outcome import ClusterName, Outcome, Picture

_ESCAPED = re.compile(r'[\\"\n]')


class Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """One metric with all its series. Without a series it is left out."""

    name: str
    help: str
    samples: Iterable[Sample]


def exposition(outcome: Outcome, elapsed_s: float, ended_at_unix_s: float) -> str:
    """The whole file. It also says that nothing could be seen: rcfail_up is 0 then, and the verdict unknown."""
    cluster = {"cluster": _name(outcome.cluster)}
    if outcome.command == "ready":
        from rcfail.render.ready_monitors import ready_families

        return "".join(_written(each) for each in ready_families(outcome, cluster, elapsed_s, ended_at_unix_s))
    families = [*_run(outcome, cluster, elapsed_s, ended_at_unix_s), *_verdict(outcome.judged, cluster)]
    if outcome.judged is not None:
        families += _cluster(outcome.judged, cluster)
        families += _shards(outcome.judged, cluster)
    return "".join(_written(family) for family in families)


def _name(cluster: ClusterName) -> str:
    """What stays the same from run to run: the name that the user gave, or the seeds as the user wrote them."""
    return cluster.name or ",".join(cluster.seeds)


def _run(outcome: Outcome, cluster: Mapping[str, str], elapsed_s: float, ended_at_unix_s: float) -> Iterator[Family]:
    seen = outcome.judged is not None
    yield Family("rcfail_up", "1 when a cluster was seen and judged, 0 when none was.", [Sample(cluster, seen)])
    yield Family("rcfail_build_info", "The program that ran.", [Sample({**cluster, "version": __version__}, 1)])
    yield Family(
        "rcfail_run_timestamp_seconds", "When the run ended, as Unix time.", [Sample(cluster, ended_at_unix_s)]
    )
    yield Family("rcfail_run_duration_seconds", "How long the run took.", [Sample(cluster, elapsed_s)])
    yield Family("rcfail_run_exit_code", "What the run ended with.", [Sample(cluster, outcome.exit_code)])


def _verdict(picture: Picture | None, cluster: Mapping[str, str]) -> Iterator[Family]:
    """Also where nothing was seen: that is the verdict unknown, and no promise can be answered."""
    said = picture.diagnosis if picture else None
    verdict = said.verdict if said else Verdict.UNKNOWN
    yield Family(
        "rcfail_verdict", "The verdict: 1 for the one that stands.", one_of(cluster, "verdict", Verdict, verdict)
    )
    yield Family(
        "rcfail_promise",
        "Whether the cluster is serving, redundant and failover-ready: 1 for the answer that stands.",
        [
            sample
            for promise, answer in _answers(said)
            for sample in one_of({**cluster, "promise": promise}, "answer", Known, answer)
        ],
    )


def _answers(said: Diagnosis | None) -> tuple[tuple[str, Known], ...]:
    return (
        ("serving", said.serving if said else Known.UNKNOWN),
        ("redundant", said.redundant if said else Known.UNKNOWN),
        ("failover_ready", said.failover_ready if said else Known.UNKNOWN),
    )


def one_of(labels: Mapping[str, str], name: str, every: Iterable[str], true: str) -> list[Sample]:
    return [Sample({**labels, name: str(each)}, each == true) for each in every]


def _cluster(picture: Picture, cluster: Mapping[str, str]) -> Iterator[Family]:
    from rcfail.health.gauges import node_states
    from rcfail.render.facts import epoch

    snapshot, diagnosis = picture
    yield Family(
        "rcfail_observation_timestamp_seconds",
        "When the cluster was looked at, as Unix time; long ago for a record.",
        [Sample(cluster, snapshot.taken_at_unix_ms / 1000)],
    )
    yield Family(
        "rcfail_finding", "A problem; its page is printed by rcfail explain CODE.", _findings(diagnosis, cluster)
    )
    yield Family(
        "rcfail_findings",
        "Problems by severity.",
        _counted(cluster, "severity", Severity, [each.severity for each in diagnosis.findings]),
    )
    yield Family(
        "rcfail_findings_ignored",
        "Problems that --ignore leaves out of the verdict.",
        [Sample(cluster, len(diagnosis.ignored))],
    )
    yield Family("rcfail_slots", "Slots by the state of their owner.", _slots(snapshot, cluster))
    yield Family(
        "rcfail_nodes",
        "Nodes by how they stand.",
        [Sample({**cluster, "state": state}, count) for state, count in node_states(snapshot).items()],
    )
    yield Family(
        "rcfail_silences",
        "Addresses that gave no usable answer, by reason.",
        _counted(cluster, "reason", SilenceReason, [each.reason for each in snapshot.silences]),
    )
    yield Family(
        "rcfail_views", "Differing views of the cluster among its nodes.", [Sample(cluster, len(snapshot.groups))]
    )
    yield from _voters(snapshot, cluster)
    current = epoch(snapshot)
    if current is not None:
        yield Family("rcfail_epoch", "The highest epoch that any node knows.", [Sample(cluster, current)])


def _findings(diagnosis: Diagnosis, cluster: Mapping[str, str]) -> list[Sample]:
    """Each set of labels once: two series alike would make the collector refuse the whole file."""
    found = {
        (each.code, each.severity.value, each.subject.kind.value, each.subject.id, each.subject.address): None
        for each in diagnosis.findings
    }
    names = ("code", "severity", "kind", "id", "address")
    return [Sample({**cluster, **dict(zip(names, each, strict=True))}, 1) for each in found]


def _counted(labels: Mapping[str, str], name: str, every: Iterable[str], found: list[str]) -> list[Sample]:
    return [Sample({**labels, name: str(each)}, found.count(each)) for each in every]


def _slots(snapshot: Snapshot, cluster: Mapping[str, str]) -> list[Sample]:
    """Each slot in exactly one state: together they are 16384."""
    from rcfail.render.facts import slot_counts

    counts = slot_counts(snapshot)
    states = {
        "ok": counts.ok,
        "suspected": counts.suspected,
        "failed": counts.failed,
        "unknown": counts.covered - counts.ok - counts.suspected - counts.failed,
        "unowned": SLOT_COUNT - counts.covered,
    }
    return [Sample({**cluster, "state": state}, count) for state, count in states.items()]


def _voters(snapshot: Snapshot, cluster: Mapping[str, str]) -> Iterator[Family]:
    voters = snapshot.electorate
    yield Family("rcfail_voters", "Primaries with slots, dead ones too.", [Sample(cluster, len(voters.voters))])
    yield Family("rcfail_voters_reachable", "Voters that answered.", [Sample(cluster, len(voters.reachable))])
    yield Family("rcfail_voters_needed", "Voters that make a majority.", [Sample(cluster, voters.needed)])
    yield Family(
        "rcfail_quorum",
        "Whether a majority of the voters stands together: 1 for the answer that stands.",
        one_of(cluster, "answer", Known, voters.quorum),
    )


def _shards(picture: Picture, cluster: Mapping[str, str]) -> Iterator[Family]:
    """By the id of the primary, which a failover changes, and its address."""
    from rcfail.health.gauges import shard_gauges

    diagnosis = picture.diagnosis
    gauges = [
        ({**cluster, "primary_id": each.primary_id, "address": each.address}, each)
        for each in shard_gauges(picture.snapshot, (*diagnosis.findings, *diagnosis.ignored))
    ]
    yield Family("rcfail_shard_slots", "Slots of the shard.", [Sample(at, each.slots) for at, each in gauges])
    yield Family(
        "rcfail_shard_replicas", "Replicas that are listed.", [Sample(at, each.replicas) for at, each in gauges]
    )
    yield Family(
        "rcfail_shard_replicas_healthy",
        "Replicas that live, follow the primary and are in sync.",
        [Sample(at, each.healthy) for at, each in gauges],
    )
    yield Family(
        "rcfail_shard_lag_bytes",
        "How far the replica that is furthest behind is behind its primary.",
        [Sample(at, each.lag_bytes) for at, each in gauges if each.lag_bytes is not None],
    )
    yield Family(
        "rcfail_shard_lag_seconds",
        "For how long the replica that has waited longest has heard nothing; an idle primary pings every 10 s.",
        [Sample(at, each.lag_s) for at, each in gauges if each.lag_s is not None],
    )
    yield Family(
        "rcfail_shard_failover_ready",
        "Whether a failed primary of the shard is replaced without help: 1 for the answer that stands.",
        [sample for at, each in gauges for sample in one_of(at, "answer", Known, each.failover_ready)],
    )


def _written(family: Family) -> str:
    rows = [f"{family.name}{_labels(each.labels)} {_number(each.value)}\n" for each in family.samples]
    if not rows:
        return ""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n" + "".join(rows)


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_ESCAPED.sub(_escape, inert(value))}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escape(match: re.Match[str]) -> str:
    return "\\n" if match[0] == "\n" else f"\\{match[0]}"


def _number(value: float) -> str:
    """Whole numbers without a point, and times to the millisecond."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"

"""One line for Nagios, Icinga and their kind: the state, why, and performance data behind a bar.

The form is that of the monitoring plugins' guidelines: `'label'=value[UOM];warn;crit;min;max`, thresholds as ranges
("16384:" warns below 16384), U for a value that could not be found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.nouns import SLOT_COUNT
from rcfail.cluster.snapshot import Known
from rcfail.exits import ExitCode, plugin_code
from rcfail.health.finding import Severity
from rcfail.render.inert import inert
from rcfail.render.outcome import Outcome, Picture

MOST_TEXT = 320
"""Characters before the bar. An old NRPE cuts at 1,024 bytes in all, and the performance data has some 650."""

_ANSWERS = {Known.YES: 1, Known.NO: 0, Known.UNKNOWN: None}


def status_line(outcome: Outcome, elapsed_s: float) -> str:
    """The whole output: always one line that is ended, with one bar in it, also when nothing could be seen."""
    state = plugin_code(outcome.exit_code)
    data = " ".join(str(each) for each in _figures(outcome, elapsed_s))
    return f"RCFAIL {state.name} - {_one_line(_why(outcome))} | {data}\n"


def _why(outcome: Outcome) -> str:
    if outcome.errors:
        said = "; ".join(each.message for each in outcome.errors)
        return said if outcome.exit_code is ExitCode.UNKNOWN else f"{said} (rcfail ended with {outcome.exit_code.name})"
    if outcome.readiness is not None:
        from rcfail.render.ready_words import headline

        return headline(outcome.readiness)
    if outcome.judged is None:
        return f"rcfail {outcome.command} gave no verdict"
    return " ".join(_verdict(outcome.judged, outcome.exit_code))


def _verdict(picture: Picture, code: ExitCode) -> Iterator[str]:
    from rcfail.render.health_page import headline

    diagnosis = picture.diagnosis
    if code is ExitCode.OK and diagnosis.verdict != "ok":
        yield f"{diagnosis.verdict.value} let pass by --fail-on critical:"
    yield headline(picture.snapshot, diagnosis, MOST_TEXT // 2)
    codes = dict.fromkeys(each.code for each in diagnosis.findings if each.severity is not Severity.INFO)
    if codes:
        yield f"[{', '.join(codes)}]"
    if diagnosis.ignored:
        yield f"(ignored: {', '.join(dict.fromkeys(each.code for each in diagnosis.ignored))})"


def _one_line(text: str) -> str:
    """Nothing in it ends the text early: a bar would begin the performance data, a newline the long output."""
    safe = " ".join(inert(text.replace("|", "/")).split())
    return safe if len(safe) <= MOST_TEXT else f"{safe[: MOST_TEXT - 3]}..."


class Datum(NamedTuple):
    """One value; None is one that nobody knows. The other four stand behind it as they are."""

    label: str
    value: float | None
    unit: str = ""
    warn: str = ""
    crit: str = ""
    least: str = "0"
    most: str = ""

    def __str__(self) -> str:
        # The guidelines give U no unit.
        value = "U" if self.value is None else f"{self.value:.3f}{self.unit}" if self.unit == "s" else self._whole
        rest = ";".join((self.warn, self.crit, self.least, self.most)).rstrip(";")
        return f"{_quoted(self.label)}={value};{rest}" if rest else f"{_quoted(self.label)}={value}"

    @property
    def _whole(self) -> str:
        return f"{self.value:.0f}{self.unit}"


def _quoted(label: str) -> str:
    """Bare where every reader takes it bare; a quote is written twice."""
    if label.isascii() and label.replace("_", "").isalnum():
        return label
    return "'" + label.replace("'", "''").replace("=", ":").replace("|", "/") + "'"


def _figures(outcome: Outcome, elapsed_s: float) -> Iterator[Datum]:
    if outcome.command == "ready":
        from rcfail.render.ready_monitors import ready_figures

        yield from ready_figures(outcome.readiness)
        yield Datum("time", elapsed_s, "s")
        return
    yield from _data(outcome.judged, elapsed_s)


def _data(picture: Picture | None, elapsed_s: float) -> Iterator[Datum]:
    """The same labels in every run, so that a graph has no hole in its list; U where there is nothing to tell."""
    yield from _promises(picture)
    yield from _slots(picture)
    yield from _voters(picture)
    yield from _copies(picture)
    for severity in reversed(Severity):
        count = None if picture is None else sum(each.severity is severity for each in picture.diagnosis.findings)
        over = {Severity.CRITICAL: ("", "0"), Severity.INFO: ("", "")}.get(severity, ("0", ""))
        yield Datum(f"findings_{severity}", count, warn=over[0], crit=over[1])
    yield Datum("time", elapsed_s, "s")


def _promises(picture: Picture | None) -> Iterator[Datum]:
    said = picture.diagnosis if picture else None
    yield Datum("serving", _ANSWERS[said.serving] if said else None, crit="1:", most="1")
    yield Datum("redundant", _ANSWERS[said.redundant] if said else None, warn="1:", most="1")
    yield Datum("failover_ready", _ANSWERS[said.failover_ready] if said else None, warn="1:", most="1")


def _slots(picture: Picture | None) -> Iterator[Datum]:
    from rcfail.render.facts import slot_counts

    counts = slot_counts(picture.snapshot) if picture else None
    yield Datum("slots_ok", counts.ok if counts else None, crit=f"{SLOT_COUNT}:", most=str(SLOT_COUNT))
    yield Datum("slots_suspected", counts.suspected if counts else None, most=str(SLOT_COUNT))
    yield Datum("slots_failed", counts.failed if counts else None, crit="0", most=str(SLOT_COUNT))


def _voters(picture: Picture | None) -> Iterator[Datum]:
    if picture is None:
        yield Datum("voters_reachable", None)
        yield Datum("voters_needed", None)
        return
    voters = picture.snapshot.electorate
    most = str(len(voters.voters))
    yield Datum("voters_reachable", len(voters.reachable), "", f"{voters.needed + 1}:", f"{voters.needed}:", "0", most)
    yield Datum("voters_needed", voters.needed, most=most)


def _copies(picture: Picture | None) -> Iterator[Datum]:
    """Replicas over all shards; the lag is that of the shard that is furthest behind."""
    from rcfail.health.gauges import shard_gauges

    if picture is None:
        for label in ("replicas_healthy", "shards_failover_ready", "lag_bytes", "lag_seconds"):
            yield Datum(label, None)
        return
    said = picture.diagnosis
    shards = shard_gauges(picture.snapshot, (*said.findings, *said.ignored))
    ready = sum(each.failover_ready is Known.YES for each in shards)
    yield Datum(
        "replicas_healthy", sum(each.healthy for each in shards), most=str(sum(each.replicas for each in shards))
    )
    yield Datum("shards_failover_ready", ready, warn=f"{len(shards)}:", most=str(len(shards)))
    yield Datum("lag_bytes", max((each.lag_bytes for each in shards if each.lag_bytes is not None), default=None), "B")
    yield Datum("lag_seconds", max((each.lag_s for each in shards if each.lag_s is not None), default=None), "s")

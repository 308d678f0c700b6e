"""From findings to the verdict, the three promises and the exit code: the contract with whoever acts on it."""

from __future__ import annotations

import itertools

import pytest

from rcfail.cluster.snapshot import Known
from rcfail.exits import ExitCode
from rcfail.health.catalogue import BY_CODE, ENTRIES
from rcfail.health.diagnose import clean, confirmed, settled
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity
from rcfail.health.verdict import Policy, Verdict, conclude


def finding(code: str, severity: Severity, impairs: tuple[Promise, ...] | None = None) -> Finding:
    return Finding(code, severity, CLUSTER, "seen", "meant", "", impairs)


DEAD_REPLICA = finding("replica-missing", Severity.WARNING)
SILENT = finding("node-silent", Severity.UNKNOWN)
LOST = finding("slots-failed", Severity.CRITICAL)
NOTED = finding("backlog-too-small", Severity.INFO)
BEING_MET = finding("node-handshake", Severity.WARNING)


@pytest.mark.parametrize(
    ("found", "verdict", "code"),
    [
        ((), Verdict.OK, ExitCode.OK),
        ((NOTED,), Verdict.OK, ExitCode.OK),
        ((DEAD_REPLICA, NOTED), Verdict.WARNING, ExitCode.WARNING),
        ((DEAD_REPLICA, SILENT), Verdict.UNKNOWN, ExitCode.UNKNOWN),
        ((SILENT, LOST, DEAD_REPLICA), Verdict.CRITICAL, ExitCode.CRITICAL),
    ],
)
def test_the_worst_finding_decides(found: tuple[Finding, ...], verdict: Verdict, code: ExitCode) -> None:
    for order in itertools.permutations(found):
        diagnosis = conclude(order)
        assert (diagnosis.verdict, diagnosis.exit_code) == (verdict, code)
        # Whatever decides stands first, because the first line is made of it.
        assert diagnosis.findings[:1] == conclude(found).findings[:1]


def test_fail_on_critical_lowers_a_warning_and_never_what_is_unknown() -> None:
    lenient = Policy(fail_on=Verdict.CRITICAL)
    assert conclude([DEAD_REPLICA], lenient).exit_code is ExitCode.OK
    assert conclude([DEAD_REPLICA], lenient).verdict is Verdict.WARNING
    assert conclude([DEAD_REPLICA, SILENT], lenient).exit_code is ExitCode.UNKNOWN
    assert conclude([LOST], lenient).exit_code is ExitCode.CRITICAL


def test_an_ignored_finding_leaves_the_verdict_but_breaks_its_promise_all_the_same() -> None:
    diagnosis = conclude([DEAD_REPLICA], Policy(ignore=("replica-missing",)))
    assert (diagnosis.verdict, diagnosis.exit_code) == (Verdict.OK, ExitCode.OK)
    assert diagnosis.ignored == (DEAD_REPLICA,)
    assert (diagnosis.serving, diagnosis.redundant, diagnosis.failover_ready) == (Known.YES, Known.NO, Known.NO)


def test_what_cannot_be_told_makes_a_promise_unknown_not_kept() -> None:
    told = conclude([SILENT])
    assert {told.serving, told.redundant, told.failover_ready} == {Known.UNKNOWN}
    assert conclude([SILENT, DEAD_REPLICA]).redundant is Known.NO
    # A warning does not stop serving, and an unknown in it still counts.
    assert conclude([DEAD_REPLICA]).serving is Known.YES


def test_what_can_pass_by_itself_counts_when_two_looks_show_it() -> None:
    assert confirmed([], [BEING_MET, DEAD_REPLICA, SILENT, LOST]) == tuple(
        each for each in (DEAD_REPLICA, SILENT, LOST) if not BY_CODE[each.code].passing or each is SILENT
    )
    assert confirmed([BEING_MET], [BEING_MET]) == (BEING_MET,)
    assert not settled([], [BEING_MET])
    assert settled([LOST, BEING_MET], [BEING_MET])
    assert clean([NOTED])
    assert not clean([DEAD_REPLICA])


def test_what_cannot_be_told_never_passes() -> None:
    for entry in ENTRIES:
        unknown = finding(entry.code, Severity.UNKNOWN)
        assert confirmed([], [unknown]) == (unknown,)

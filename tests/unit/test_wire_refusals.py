"""Error texts of real servers, each in the form of the versions that print it."""

from __future__ import annotations

import errno

import pytest

from rcfail.cluster.observation import AbsenceKind, SilenceReason
from rcfail.wire.refusals import RefusalKind, auth_refusal_of, connect_failure, foreign_speech, refusal_of, unheard

K = RefusalKind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOAUTH Authentication required.", K.AUTH_REFUSED),
        ("WRONGPASS invalid username-password pair or user is disabled.", K.AUTH_REFUSED),
        ("ERR invalid password", K.AUTH_REFUSED),
        ("DENIED Redis is running in protected mode because protected mode is enabled ...", K.AUTH_REFUSED),
        ("NOPERM this user has no permissions to run the 'cluster' command or its subcommand", K.NOT_PERMITTED),
        ("NOPERM This user has no permissions to run the 'cluster|nodes' command", K.NOT_PERMITTED),
        ("NOPERM User bob has no permissions to run the 'cluster|nodes' command", K.NOT_PERMITTED),
        ("LOADING Redis is loading the dataset in memory", K.LOADING),
        ("LOADING Valkey is loading the dataset in memory", K.LOADING),
        ("LOADING", K.LOADING),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", K.MASTER_DOWN),
        ("CLUSTERDOWN The cluster is down", K.CLUSTER_DOWN),
        ("ERR Unknown subcommand or wrong number of arguments for 'LINKS'. Try CLUSTER HELP.", K.UNSUPPORTED),
        ("ERR unknown subcommand 'LINKS'. Try CLUSTER HELP.", K.UNSUPPORTED),
        ("ERR unknown command `CONFIG`, with args beginning with: `GET`, ", K.UNSUPPORTED),
        ("ERR unknown command 'CONFIG', with args beginning with: 'GET' ", K.UNSUPPORTED),
        ("ERR This instance has cluster support disabled", K.NOT_A_CLUSTER),
        ("ERR max number of clients reached", K.CLIENTS_FULL),
        ("ERR max number of clients + cluster connections reached", K.CLIENTS_FULL),
        ("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE", K.ERROR),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", K.BUSY),
        ("BUSYGROUP Consumer Group name already exists", K.ERROR),
        ("LOADINGX not that word", K.ERROR),
        ("ERR the node is LOADING", K.ERROR),
        ("", K.ERROR),
    ],
)
def test_the_text_of_an_error_reply_has_a_kind(text: str, kind: RefusalKind) -> None:
    refusal = refusal_of(text)
    assert (refusal.kind, refusal.text) == (kind, text)


def test_only_what_makes_the_whole_node_unusable_silences_it() -> None:
    assert refusal_of("NOAUTH x").silence is SilenceReason.AUTH_REFUSED
    assert refusal_of("ERR max number of clients reached").silence is SilenceReason.CLIENTS_FULL
    assert refusal_of("BUSY Redis is busy running a script.").silence is SilenceReason.BUSY
    assert refusal_of("ERR This instance has cluster support disabled").silence is SilenceReason.NOT_A_CLUSTER
    for text in ("NOPERM x", "LOADING x", "ERR unknown command 'X'", "ERR x", "MASTERDOWN x"):
        assert refusal_of(text).silence is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NOPERM x", AbsenceKind.NOT_PERMITTED),
        ("LOADING x", AbsenceKind.LOADING),
        ("ERR unknown subcommand 'LINKS'", AbsenceKind.UNSUPPORTED),
        ("MASTERDOWN x", AbsenceKind.REFUSED),
        ("ERR anything", AbsenceKind.REFUSED),
    ],
)
def test_a_refusal_is_an_absence_of_its_question(text: str, kind: AbsenceKind) -> None:
    assert (refusal_of(text).absence.kind, refusal_of(text).absence.text) == (kind, text)


def test_a_lost_conversation_is_no_answer() -> None:
    assert unheard(SilenceReason.FROZEN, "nothing came").absence.kind is AbsenceKind.NO_ANSWER


@pytest.mark.parametrize(
    "text",
    [
        "ERR AUTH <password> called without any password configured for the default user. Are you sure?",
        "ERR Client sent AUTH, but no password is set",
    ],
)
def test_a_server_that_needs_no_password_is_no_refusal(text: str) -> None:
    assert auth_refusal_of(text) is None


@pytest.mark.parametrize(
    ("text", "kind", "kept"),
    [
        ("WRONGPASS invalid", K.AUTH_REFUSED, "WRONGPASS invalid"),
        ("ERR unknown command 'AUTH', with args beginning with: 'pw'", K.AUTH_REFUSED, "ERR unknown command 'AUTH'"),
        ("ERR wrong number of arguments for 'auth' command", K.AUTH_REFUSED, None),
        ("NOPERM User default has no permissions to run the 'auth' command", K.AUTH_REFUSED, None),
        ("ERR max number of clients reached", K.CLIENTS_FULL, None),
        ("LOADING Redis is loading the dataset in memory", K.LOADING, None),
    ],
)
def test_what_auth_is_refused_with(text: str, kind: RefusalKind, kept: str | None) -> None:
    refusal = auth_refusal_of(text)
    assert refusal is not None
    assert (refusal.kind, refusal.text) == (kind, kept or text)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, SilenceReason.REFUSED),
        (errno.EHOSTUNREACH, SilenceReason.UNREACHABLE),
        (errno.ENETUNREACH, SilenceReason.UNREACHABLE),
        (errno.EACCES, SilenceReason.UNREACHABLE),
        (errno.EPERM, SilenceReason.UNREACHABLE),
        (errno.ETIMEDOUT, SilenceReason.CONNECT_TIMEOUT),
        (errno.ECONNRESET, SilenceReason.CLOSED),
    ],
)
def test_why_a_connect_failed(number: int, reason: SilenceReason) -> None:
    assert connect_failure(OSError(number, "words of the system")) is reason


def test_a_connect_that_ran_out_of_time() -> None:
    assert connect_failure(TimeoutError("timed out")) is SilenceReason.CONNECT_TIMEOUT


@pytest.mark.parametrize("first", [*b"+-:$*%~#,(_=!>|"])
def test_every_type_of_the_protocol_may_be_redis(first: int) -> None:
    assert foreign_speech(bytes([first])) is None


def test_nothing_said_is_not_foreign() -> None:
    assert foreign_speech(b"") is None

"""When nothing of a cluster can be seen: every reason in one line, and the hint that fits the first to mend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.errors import CannotSee
from rcfail.render.words import SILENCE_WORDS

_MOST_REASONS = 8
_LONGEST_TEXT = 120

# What to do, the reasons that say most about the mistake first.
_HINTS = {
    SilenceReason.AUTH_REFUSED: "Check the user (--user) and the password (RCFAIL_PASSWORD, --password-file).",
    SilenceReason.TLS_EXPECTED: "TLS is not supported yet by this version: name the plain port.",
    SilenceReason.NOT_A_CLUSTER: "Name a server that runs with cluster-enabled yes.",
    SilenceReason.CLIENTS_FULL: "Free a connection on the server, or raise its maxclients.",
    SilenceReason.UNRESOLVABLE: "Check the spelling, or name the address instead.",
    SilenceReason.GARBAGE: "Another service listens there: name the client port of a node.",
    SilenceReason.TOO_LARGE: "Another service listens there: name the client port of a node.",
    SilenceReason.CLOSED: "A cluster bus port does that: the client port is usually 10000 lower.",
    SilenceReason.FROZEN: "The process may be stopped or overloaded: look at it on its host, or name another node.",
    SilenceReason.TOO_SLOW: "Name another node, or give it more time: --read-timeout 10s --deadline 30s.",
    SilenceReason.CONNECT_TIMEOUT: "Check the address, route and firewall from this host, or name another node.",
    SilenceReason.UNREACHABLE: "Check the address, route and firewall from this host, or name another node.",
    SilenceReason.REFUSED: "Check that the server runs and that this is its client port, or name another node.",
    SilenceReason.NO_TIME: "Give it more time: --deadline 30s.",
}
_UNREAD_HINTS = {
    AbsenceKind.NOT_PERMITTED: "Let this user read: ACL SETUSER NAME +cluster|nodes +cluster|info +info +config|get.",
    AbsenceKind.LOADING: "Wait until the data set is loaded: rcfail health --wait 5m, or name another node.",
}
_OTHER_HINT = "Name another node of the cluster: -s HOST:PORT."


class NothingSeen(CannotSee):
    """No node gave a table of members. `observation` holds what came back instead."""

    def __init__(self, message: str, hint: str, observation: Observation) -> None:
        super().__init__(message, hint)
        self.observation = observation


class _Reason(NamedTuple):
    """Why one address shows nothing. The hint of the smallest rank is the one that is given."""

    text: str
    rank: int
    hint: str


def cannot_see(observation: Observation) -> NothingSeen | None:
    """The fault to raise when no node gave a table of members, else None."""
    if any(answer.nodes and answer.nodes.table.beliefs for answer in observation.answers):
        return None
    reasons = list(_reasons(observation))
    if not reasons:
        return NothingSeen("nobody was asked", _OTHER_HINT, observation)
    said = [reason.text for reason in reasons[:_MOST_REASONS]]
    if len(reasons) > len(said):
        said.append(f"and {len(reasons) - len(said)} more")
    lead = "" if len(reasons) == 1 else "no node of a cluster can be seen: "
    return NothingSeen(lead + "; ".join(said), min(reasons, key=lambda reason: reason.rank).hint, observation)


def _reasons(observation: Observation) -> Iterator[_Reason]:
    for answer in observation.answers:
        yield _unread(answer)
    for silence in observation.silences:
        yield _silent(silence)


def _silent(silence: Silence) -> _Reason:
    words = SILENCE_WORDS[silence.reason]
    if silence.reason is SilenceReason.TLS_EXPECTED:
        words += ": TLS is not supported yet by this version"
    elif silence.text and silence.reason is not SilenceReason.REFUSED:
        words += f" ({_cut(silence.text)})"
    rank = list(_HINTS).index(silence.reason) if silence.reason in _HINTS else len(_HINTS)
    return _Reason(f"{silence.endpoint or 'a node'} {words}", rank, _HINTS.get(silence.reason, _OTHER_HINT))


def _unread(answer: Answer) -> _Reason:
    """A node that answers, but not with a table of members."""
    if answer.nodes is not None:
        return _Reason(f"{answer.endpoint} lists no node that could be read", len(_HINTS), _OTHER_HINT)
    absence = answer.absences.get(Ask.CLUSTER_NODES) or Absence(AbsenceKind.NO_ANSWER)
    words = {
        AbsenceKind.NOT_PERMITTED: "does not let this user read CLUSTER NODES",
        AbsenceKind.LOADING: "is loading its data set",
        AbsenceKind.UNSUPPORTED: "does not know CLUSTER NODES",
    }.get(absence.kind, "gives no table of members")
    said = f" ({_cut(absence.text)})" if absence.text else ""
    return _Reason(f"{answer.endpoint} {words}{said}", -1, _UNREAD_HINTS.get(absence.kind, _OTHER_HINT))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."

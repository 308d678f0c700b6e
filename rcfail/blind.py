"""When nothing of a cluster can be seen: every reason in one line, and the hint that fits the first to mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason
from rcfail.errors import CannotSee
from rcfail.health.wording import listing, redis_cli
from rcfail.render.words import SILENCE_WORDS

_MOST_REASONS = 8
_LONGEST_TEXT = 120

# What to do, the reasons that say most about the mistake first. {ping} asks that address by hand.
_HINTS = {
    SilenceReason.AUTH_REFUSED: "Check the user (--user) and the password (RCFAIL_PASSWORD, --password-file FILE).",
    SilenceReason.TLS_EXPECTED: "Speak TLS: --tls --cacert FILE, or name its plain port: -s HOST:PORT.",
    SilenceReason.NOT_TLS: "Leave out --tls (or say --no-tls), or name its TLS port: -s HOST:PORT.",
    SilenceReason.TLS_UNTRUSTED: "Name the CA that signed it: --cacert FILE (PEM).",
    SilenceReason.TLS_EXPIRED: "Renew the certificate of the server, or set the clock of this host.",
    SilenceReason.TLS_NAME: "Name the node as its certificate does: -s NAME:PORT, or --sni NAME.",
    SilenceReason.TLS_CLIENT_CERT: "Show a certificate that the server's CA signed: --cert FILE --key FILE.",
    SilenceReason.TLS_FAILED: "See which TLS versions and ciphers the server allows: tls-protocols, tls-ciphers.",
    SilenceReason.NOT_A_CLUSTER: "Name a server that runs with cluster-enabled yes: -s HOST:PORT.",
    SilenceReason.CLIENTS_FULL: "Free a connection on the server or raise its maxclients, or name another node.",
    SilenceReason.BUSY: "A script or a function holds it: wait until it ends, or name another node.",
    SilenceReason.UNRESOLVABLE: "Check the spelling, or name the address instead: -s ADDRESS:PORT.",
    SilenceReason.GARBAGE: "Another service listens there: name the client port of a node.",
    SilenceReason.TOO_LARGE: "Another service listens there: name the client port of a node.",
    SilenceReason.CLOSED: "A cluster bus port does that (the client port is often 10000 lower), and a TLS port: --tls.",
    SilenceReason.FROZEN: "Look for a stopped process or a paused machine: {ping}, or name another node.",
    SilenceReason.TOO_SLOW: "Name another node, or give it more time: --read-timeout 10s --deadline 30s.",
    SilenceReason.CONNECT_TIMEOUT: "Check address, route and firewall from this host: {ping}, or name another node.",
    SilenceReason.UNREACHABLE: "Check address, route and firewall from this host: {ping}, or name another node.",
    SilenceReason.REFUSED: "Check that the server runs and that this is its client port: {ping}",
    SilenceReason.NO_TIME: "Give it more time: --deadline 30s.",
}
_RANK = {reason: rank for rank, reason in enumerate(_HINTS)}
_UNREAD_HINTS = {
    AbsenceKind.NOT_PERMITTED: "Let this user read: ACL SETUSER NAME +cluster|nodes +cluster|info +info +config|get.",
    AbsenceKind.LOADING: "Wait until the data set is loaded: rcfail health --wait 5m, or name another node.",
}
_OTHER_HINT = "Name another node of the cluster: -s HOST:PORT."

# Where the words above say it all, what the conversation left behind only repeats them.
_SELF_EXPLAINING = frozenset(
    {SilenceReason.REFUSED, SilenceReason.FROZEN, SilenceReason.CONNECT_TIMEOUT, SilenceReason.TLS_EXPECTED}
)


class NothingSeen(CannotSee):
    """No node gave a table of members. `observation` holds what came back instead."""

    def __init__(self, message: str, hint: str, observation: Observation) -> None:
        super().__init__(message, hint)
        self.observation = observation


class _Reason(NamedTuple):
    """Why one address, `who`, shows nothing. The hint of the smallest rank is the one that is given."""

    who: str
    words: str
    rank: int
    hint: str


def cannot_see(observation: Observation) -> NothingSeen | None:
    """The fault to raise when no node gave a table of members, else None."""
    if any(answer.nodes and answer.nodes.table.beliefs for answer in observation.answers):
        return None
    reasons = list(_reasons(observation))
    if not reasons:
        return NothingSeen("nobody was asked", _OTHER_HINT, observation)
    said = list(_grouped(reasons))
    lead = "" if len(reasons) == 1 else "no node of a cluster can be seen: "
    return NothingSeen(lead + "; ".join(said), min(reasons, key=lambda reason: reason.rank).hint, observation)


def _reasons(observation: Observation) -> Iterator[_Reason]:
    for answer in observation.answers:
        yield _unread(answer)
    for silence in observation.silences:
        yield _silent(silence)


def _grouped(reasons: Sequence[_Reason]) -> Iterator[str]:
    """One clause for all addresses of which the same is to be said, in the order in which they came."""
    alike: dict[str, list[str]] = {}
    for reason in reasons:
        alike.setdefault(reason.words, []).append(reason.who)
    told = dict(islice(alike.items(), _MOST_REASONS))
    for words, who in told.items():
        yield f"each of {listing(who)} {words}" if len(who) > 1 else f"{who[0]} {words}"
    left = len(reasons) - sum(map(len, told.values()))
    if left:
        yield f"and {left} more"


def _silent(silence: Silence) -> _Reason:
    words = SILENCE_WORDS[silence.reason]
    if silence.text and silence.text not in words and silence.reason not in _SELF_EXPLAINING:
        words += f" ({_cut(silence.text)})"
    hint = _HINTS.get(silence.reason, _OTHER_HINT)
    return _Reason(
        who=str(silence.endpoint or "a node"),
        words=words,
        rank=_RANK.get(silence.reason, len(_RANK)),
        hint=hint.replace("{ping}", redis_cli(silence.endpoint, "PING")),
    )


def _unread(answer: Answer) -> _Reason:
    """A node that answers, but not with a table of members."""
    if answer.nodes is not None:
        return _Reason(str(answer.endpoint), "lists no node that could be read", len(_RANK), _OTHER_HINT)
    absence = answer.absences.get(Ask.CLUSTER_NODES) or Absence(AbsenceKind.NO_ANSWER)
    words = {
        AbsenceKind.NOT_PERMITTED: "does not let this user read CLUSTER NODES",
        AbsenceKind.LOADING: "is loading its data set",
        AbsenceKind.UNSUPPORTED: "does not know CLUSTER NODES",
    }.get(absence.kind, "gives no table of members")
    said = f" ({_cut(absence.text)})" if absence.text else ""
    return _Reason(str(answer.endpoint), words + said, -1, _UNREAD_HINTS.get(absence.kind, _OTHER_HINT))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."

"""One node by itself: does its process live, and is it ready to be sent clients?

Kubernetes ends what does not live, and waits with all it does for what is not ready: with a StatefulSet's default
order it starts no later pod, updates no other one, and a headless service has no name for the pod. So neither answer
may rest on what other nodes must do first, or on a setting of the probe:

- A node lives as long as its process says anything at all: that it is loading, wants a password, runs a script, or
  that the cluster is down. A restart mends none of these, and costs the data of what is kept in memory alone.
- A node is not ready only while something passes by itself, or has its fault in this very node: it loads, or takes
  the data of a primary that lives. It never has to wait for the cluster's state, a quorum, slots, or to be a member:
  those may need a pod that is not started before this one is ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import Belief, Role
from rcfail.cluster.observation import Absence, AbsenceKind, Ask, Silence, SilenceReason
from rcfail.cluster.snapshot import Known, View
from rcfail.health.standing import loading


class NodeState(StrEnum):
    """How the node stands, as it says itself. The first five are ready."""

    PRIMARY = "primary"  # owns slots
    PRIMARY_EMPTY = "primary-empty"  # knows others, owns no slot, and sends clients on
    UNJOINED = "unjoined"  # knows nobody but itself
    REPLICA = "replica"  # its link is up
    REPLICA_ALONE = "replica-alone"  # no link, and its primary is lost: it may be promoted
    REPLICA_SYNCING = "replica-syncing"  # a full copy is on its way
    REPLICA_LINK_DOWN = "replica-link-down"  # no link, and its primary is well as far as it knows
    LOADING = "loading"
    SILENT = "silent"  # gives no usable answer
    REFUSES = "refuses"  # answers, but not to us
    UNCLEAR = "unclear"  # answers, and does not say what must be known
    ANSWERS = "answers"  # for `live`: that it does is all that counts


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer, and in `words` what completes "127.0.0.1:7000 ...". `view` is what the node said, if it did."""

    answer: Known
    state: NodeState
    words: str
    view: View | None = None


# Nobody is there, or whoever is there does nothing. Every other reason is a sign of life: a server that closes the
# connection runs, and one that takes no more clients does so before a TLS handshake without a word.
_LIFELESS = frozenset({
    SilenceReason.UNRESOLVABLE,
    SilenceReason.REFUSED,
    SilenceReason.UNREACHABLE,
    SilenceReason.CONNECT_TIMEOUT,
    SilenceReason.FROZEN,
    SilenceReason.NO_TIME,
    SilenceReason.GARBAGE,
})  # fmt: skip

# It may be as ready as can be: what is wrong is how it was asked.
_REFUSING = frozenset({
    SilenceReason.AUTH_REFUSED,
    SilenceReason.TLS_EXPECTED,
    SilenceReason.NOT_TLS,
    SilenceReason.TLS_UNTRUSTED,
    SilenceReason.TLS_EXPIRED,
    SilenceReason.TLS_NAME,
    SilenceReason.TLS_CLIENT_CERT,
    SilenceReason.TLS_FAILED,
})  # fmt: skip


def live(heard: str | Silence, words: Mapping[SilenceReason, str]) -> Probed:
    """From what the node said to PING; `words` complete a sentence for each kind of silence."""
    if isinstance(heard, str):
        return Probed(Known.YES, NodeState.ANSWERS, f"answers {heard}")
    lives = heard.reason not in _LIFELESS
    state = NodeState.ANSWERS if lives else NodeState.SILENT
    return Probed(Known.YES if lives else Known.NO, state, words[heard.reason])


def ready(heard: View | Silence, words: Mapping[SilenceReason, str]) -> Probed:
    """From what the node says of itself."""
    if isinstance(heard, View):
        return _ready(heard)
    refuses = heard.reason in _REFUSING
    state = NodeState.REFUSES if refuses else NodeState.SILENT
    return Probed(Known.UNKNOWN if refuses else Known.NO, state, words[heard.reason])


def _ready(view: View) -> Probed:
    if loading(view):
        return Probed(Known.NO, NodeState.LOADING, "is loading its data set", view)
    own = view.own
    if own is None or view.reply is None:
        return Probed(Known.UNKNOWN, NodeState.UNCLEAR, _unclear(view), view)
    if own.role is Role.REPLICA:
        return _replica(view, own)
    if own.role is not Role.PRIMARY:
        return Probed(Known.UNKNOWN, NodeState.UNCLEAR, "does not say whether it is a primary or a replica", view)
    if own.slots:
        return Probed(Known.YES, NodeState.PRIMARY, f"is a primary of {own.slot_count} slots", view)
    if len(view.reply.table.beliefs) > 1:
        return Probed(Known.YES, NodeState.PRIMARY_EMPTY, "is a primary without slots, and sends clients on", view)
    return Probed(Known.YES, NodeState.UNJOINED, "has joined no cluster yet", view)


def _replica(view: View, own: Belief) -> Probed:
    """Without its link a replica waits for its primary, and only for one that it holds for well."""
    said = view.vitals.replication
    if said.link_up is None:
        return Probed(Known.UNKNOWN, NodeState.UNCLEAR, _unclear(view), view)
    if said.link_up:
        return Probed(Known.YES, NodeState.REPLICA, "is a replica, and its link is up", view)
    primary = view.belief(own.primary_id) if own.primary_id else None
    if primary is None or primary.flagged or primary.noaddr:
        words = "is a replica that has lost its primary, and may be promoted"
        return Probed(Known.YES, NodeState.REPLICA_ALONE, words, view)
    if said.sync_in_progress:
        return Probed(Known.NO, NodeState.REPLICA_SYNCING, "is a replica that takes a full copy", view)
    words = f"is a replica without a link to its primary {primary.address}"
    return Probed(Known.NO, NodeState.REPLICA_LINK_DOWN, words, view)


def _unclear(view: View) -> str:
    """Names the question that was refused, where one was."""
    for ask in (Ask.CLUSTER_NODES, Ask.INFO):
        absence = view.absences.get(ask) or Absence(AbsenceKind.NO_ANSWER)
        if absence.kind is AbsenceKind.NOT_PERMITTED:
            return f"does not let this user ask {ask}"
        if ask in view.absences:
            return f"does not answer {ask}" + (f" ({absence.text})" if absence.text else "")
    return "does not say how it stands"

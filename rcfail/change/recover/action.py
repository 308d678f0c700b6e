"""One act of a recovery: what is sent to whom, what must be so before it, what is so after it, and what it loses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from rcfail.change.checks import Check
from rcfail.change.request import Request
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.cluster.snapshot import Snapshot


class ActionKind(StrEnum):
    """The commands that a recovery sends, and the two acts that send none."""

    MEET = "meet"
    REPLICATE = "replicate"
    FORGET = "forget"
    SETSLOT = "setslot"
    RESET = "reset"
    FAILOVER = "failover"  # as `rcfail failover` does it, with all its checks: `request` says which
    START = "start"  # the operator's own command, on this host
    WAIT = "wait"  # nothing is sent: it comes by itself


class Expectation(Protocol):
    """A named demand on the world: the one form of guard and verification."""

    def check(self, snapshot: Snapshot) -> Check:
        """PASS when it is so. UNKNOWN where it cannot be told, and that is no yes."""
        ...


class Send(NamedTuple):
    """One command to one node; its id is read on the same connection before it."""

    node: NodeId
    place: Endpoint
    command: tuple[str, ...]


class Losing(NamedTuple):
    """Data that an action throws away. `keys` None: nobody can count them. `copies`: other nodes hold the same."""

    node: NodeId
    keys: int | None
    copies: int

    @property
    def counts(self) -> bool:
        """Whether anything is gone for good."""
        return self.copies == 0 and self.keys != 0


@dataclass(frozen=True, slots=True)
class Action:
    """`about` is whom it is about, and `aims` what else makes it this action and no other, such as the id of the
    primary that is followed: consent to an action is consent to its `key`, whoever it is sent to.

    `title` is a clause without subject ("let A follow B"). `sends` go out in this order, each once. They stop at the
    first that is refused, but for FORGET, where a half is worse. `guards` hold right before, `expects` within
    `within_ms` after it, in two looks in a row. `command` is the operator's own, for START; `request` is for FAILOVER.
    """

    kind: ActionKind
    about: NodeId
    title: str
    expects: tuple[Expectation, ...]
    sends: tuple[Send, ...] = ()
    aims: tuple[str, ...] = ()
    guards: tuple[Expectation, ...] = ()
    within_ms: int = 30_000
    loses: tuple[Losing, ...] = ()
    command: str = ""
    request: Request | None = None

    @property
    def key(self) -> tuple[str, ...]:
        return (self.kind.value, self.about, *self.aims)

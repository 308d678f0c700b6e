"""What is wrong, named so that it can be mended: one condition, who is in it, and the actions that end it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.change.recover.action import Action
from rcfail.cluster.nouns import NodeId


class ConditionCode(StrEnum):
    """Codes never change meaning. The order is the order of recovery: first who can hear whom, then who owns what, then
    who follows whom, and who is forgotten last."""

    NODES_APART = "nodes-apart"  # members that do not find each other: addresses changed
    ADDRESS_WRONG = "address-wrong"  # a node announces an address at which nobody answers
    OWNER_WITHOUT_ADDRESS = "owner-without-address"  # `noaddr`, and owns slots
    NODE_DOWN = "node-down"
    SHARD_LOST = "shard-lost"  # its primary is down, and no replica takes over by itself
    SLOTS_DISPUTED = "slots-disputed"
    SLOTS_NOT_CLAIMED = "slots-not-claimed"
    SLOTS_UNCOVERED = "slots-uncovered"
    SLOT_OPEN = "slot-open"
    NODE_REPLACED = "node-replaced"  # an empty node with a new id answers where a member was
    PRIMARY_RETURNED = "primary-returned"  # a former member of a shard stands beside it without slots
    REPLICA_OF_REPLICA = "replica-of-replica"
    REPLICA_OF_GHOST = "replica-of-ghost"
    LINK_DOWN = "link-down"
    NEVER_SYNCED = "never-synced"
    SHARD_BARE = "shard-bare"  # a shard without a replica
    FOREIGN_MEMBER = "foreign-member"
    HANDSHAKE_LOOP = "handshake-loop"
    GHOST = "ghost"
    UNKNOWN_TO_SOME = "unknown-to-some"  # a living member that some nodes forgot
    RESET = "reset"  # asked for by the operator


@dataclass(frozen=True, slots=True)
class Condition:
    """`nodes` are all that it is about, the subject first; `subject` names it in the table ("10.0.0.1:6379 (ab12cd34)",
    "slot 77").

    `evidence` is what was seen, and `story` what happened and what the actions do about it, a sentence each. `findings`
    are the codes of health that it explains. Without `actions` rcfail cannot end it now: then `advice` says what does,
    as a sentence with the exact next command. `choice`: only the operator can decide; `advice` says how he says it.
    `doubt` are other conditions that look the same from here, and `advice` then says what would tell.
    `passes`: without any action it is over within seconds.
    """

    code: ConditionCode
    nodes: tuple[NodeId, ...]
    subject: str
    evidence: str
    story: str
    actions: tuple[Action, ...] = ()
    findings: tuple[str, ...] = ()
    advice: str = ""
    choice: bool = False
    doubt: tuple[ConditionCode, ...] = ()
    passes: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same condition in the next look."""
        return (self.code.value, self.nodes[0] if self.nodes else self.subject)

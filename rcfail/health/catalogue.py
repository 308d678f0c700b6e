"""Every finding code, what it means in one line, and which promise it breaks. Codes never change meaning.

The order is the order of report among findings of one severity: causes before what they cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.health.finding import Promise, Severity

_SERVING = (Promise.SERVING,)
_REDUNDANT = (Promise.REDUNDANT,)
_FAILOVER = (Promise.FAILOVER_READY,)
_BOTH = (Promise.REDUNDANT, Promise.FAILOVER_READY)
_ALL = (Promise.SERVING, Promise.REDUNDANT, Promise.FAILOVER_READY)


@dataclass(frozen=True, slots=True)
class Entry:
    """`worst` is the highest severity that the code can have; `passing` marks what can pass by itself within
    a second, and so counts only when two rounds show it; `real` is False where no real cluster can be broken
    that way on purpose, so that its test stands on a constructed observation.
    """

    code: str
    title: str
    worst: Severity
    impairs: tuple[Promise, ...]
    passing: bool = False
    real: bool = True


_C, _W, _U, _I = Severity.CRITICAL, Severity.WARNING, Severity.UNKNOWN, Severity.INFO

ENTRIES: tuple[Entry, ...] = (
    Entry("partition", "nodes stand on sides that hear nothing of each other", _C, _ALL, True),
    # Whether slots that are out come back by themselves
    Entry("foreign-cluster", "nodes of another cluster answered", _U, _ALL),
    Entry(
        "quorum-lost",
        "no majority of the voters is seen to stand together",
        _C,
        (Promise.SERVING, Promise.FAILOVER_READY),
    ),
    Entry("failover-blocked", "a failed primary will not be replaced by itself", _C, _ALL),
    Entry("failover-pending", "a failed primary is about to be replaced", _C, _SERVING, True),
    # Slots
    Entry("slots-disputed", "two primaries claim the same slots, and both say so themselves", _C, _SERVING, True),
    Entry("epoch-collision", "two primaries have one config epoch", _C, _SERVING, True),
    Entry("slots-failed", "slots belong to a failed node", _C, _SERVING),
    Entry("slots-not-claimed", "the nodes name an owner that does not claim the slots itself", _C, _SERVING, True),
    Entry("slots-uncovered", "slots have no owner", _C, _SERVING),
    Entry("slots-suspected", "slots belong to a node that others suspect", _C, _SERVING, True),
    Entry("writes-refused", "a primary refuses writes", _C, _SERVING),
    Entry("cluster-state-fail", "nodes say cluster_state:fail", _C, _SERVING, True),
    Entry("writes-paused", "a primary holds writes back", _W, _SERVING, True),
    Entry("slots-open", "slots are half moved", _W, _FAILOVER, True),
    Entry("slots-open-orphan", "a slot is half moved with nobody at the other end", _W, _FAILOVER, True),
    Entry("slot-migration-active", "slots are being moved", _I, ()),
    # Nodes
    Entry("node-failed", "a node has failed", _C, _REDUNDANT),
    Entry("node-frozen", "a node takes connections and serves nobody", _C, _BOTH),
    Entry("node-suspected", "a node is suspected", _C, _REDUNDANT, True),
    Entry("node-silent", "a node does not answer us", _C, _ALL),
    Entry("node-noaddr", "a node's address is lost", _C, _REDUNDANT),
    Entry("bus-unreachable", "a node answers clients, but no node reaches it", _C, _BOTH),
    Entry("link-missing", "a bus link works in one direction only", _W, _FAILOVER, True),
    Entry("clients-full", "a node takes no more clients", _C, _ALL),
    Entry("auth-refused", "a node refuses our credentials", _U, _ALL),
    Entry("not-permitted", "a node refuses some of our questions", _U, _ALL),
    Entry("reply-malformed", "a node's answer cannot be read whole", _U, _ALL, False, False),
    Entry("node-loading", "a node is loading its data set", _C, _BOTH),
    Entry("node-id-changed", "another node answers at a known address", _C, _REDUNDANT),
    Entry("address-disputed", "it is disputed where a node is", _C, _REDUNDANT, True),
    Entry("self-address-wrong", "nobody answers at the address that a node announces", _U, _ALL, True),
    Entry("node-duplicate-address", "two nodes are listed at one address", _C, _REDUNDANT),
    Entry("node-unknown-to-some", "some nodes do not know a member", _W, _BOTH, True),
    Entry("views-differ", "views differ in who leads or owns what", _W, _FAILOVER, True),
    Entry("not-converged", "a change is not known to all nodes yet", _I, ()),
    Entry("node-ghost", "a dead node without slots is still remembered", _W, ()),
    Entry("node-handshake", "a node is being met and does not become a member", _W, (), True),
    Entry("clock-skew", "the nodes' clocks differ", _I, (), False, False),
    # Replication
    Entry("primaries-two-in-shard", "two primaries stand in one shard", _C, _ALL, True),
    Entry("primary-empty", "a former member of a shard stands beside it as an empty primary", _W, _REDUNDANT, True),
    Entry("replica-link-down", "a replica has no link to its primary", _W, _BOTH, True),
    Entry("replica-never-synced", "a replica holds no data yet", _W, _BOTH, True),
    Entry("replica-syncing", "a replica is taking a full copy", _W, _BOTH, True),
    Entry("replica-lagging", "a replica is behind", _W, _BOTH, True),
    Entry("replica-of-replica", "a replica follows another replica", _W, _BOTH, True),
    Entry("replica-missing", "a shard has too few healthy replicas", _W, _BOTH, True),
    Entry("replica-nofailover", "a replica may not be promoted", _W, ()),
    Entry("failover-disabled", "no replica of a shard may be promoted", _W, _FAILOVER, True),
    # What would happen if: after what has happened
    Entry("quorum-fragile", "one more lost voter ends the quorum", _W, _FAILOVER),
    Entry("quorum-on-one-host", "losing one host ends the quorum", _W, _FAILOVER),
    Entry("quorum-in-one-zone", "losing one zone ends the quorum", _W, _FAILOVER),
    Entry("shard-on-one-host", "all copies of a shard are on one host", _W, _BOTH),
    Entry("shard-in-one-zone", "all copies of a shard are in one zone", _W, _BOTH),
    Entry("primaries-concentrated", "one host or zone leads far more than its share", _W, ()),
    Entry("placement-unknown", "which nodes share a machine cannot be told", _I, ()),
    # How the nodes are set up
    Entry("failover-unprepared", "a failover would work, and its shard would not", _W, _FAILOVER),
    Entry("config-drift", "settings of the cluster differ between nodes", _W, ()),
    Entry("version-bug", "a node runs a version with a known fault", _W, (), False, False),
    Entry("backlog-too-small", "a short absence costs a full copy", _I, ()),
    Entry("version-mixed", "the nodes run different versions", _I, ()),
    Entry("persistence-off-restart-risk", "primaries that save nothing can come back empty", _I, ()),
)

BY_CODE: dict[str, Entry] = {entry.code: entry for entry in ENTRIES}
RANK: dict[str, int] = {entry.code: rank for rank, entry in enumerate(ENTRIES)}

"""Known faults of server versions that an operator of a cluster should know before the next command.

Each entry names where it is written down. A version counts as affected from `since` until before the first of `fixed`
in its own line of versions; a line without an entry in `fixed` is affected as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.vitals import Flavour, Server

Version = tuple[int, ...]


class Occasion(StrEnum):
    """When a fault is worth telling: one that only a rare command meets is noise until that command is near."""

    ALWAYS = "always"
    FORGETTING = "forgetting"  # a member is dead, or half forgotten
    MIXED = "mixed"  # nodes of several versions are on one bus
    TAKEOVER = "takeover"  # a slot owner is dead, or there is no quorum


@dataclass(frozen=True, slots=True)
class Bug:
    """One fault. `since` and `until` (exclusive, None: not fixed yet) bound the lines of versions that have it, and
    `fixed` are the first good releases of lines in between. `grave`: it can lose slots or data in everyday use.
    """

    name: str
    flavour: Flavour
    since: Version
    until: Version | None
    what: str
    consequence: str
    advice: str
    source: str
    fixed: tuple[Version, ...] = ()
    grave: bool = False
    occasion: Occasion = Occasion.ALWAYS

    def affects(self, server: Server) -> bool:
        """False for a version that is not known: nothing is said of it."""
        version = server.version
        if server.flavour is not self.flavour or not version or version < self.since:
            return False
        if self.until is not None and version >= self.until:
            return False
        return not any(version[:2] == first[:2] and version >= first for first in self.fixed)


_R, _V = Flavour.REDIS, Flavour.VALKEY

BUGS: tuple[Bug, ...] = (
    Bug(
        "self-primary",
        _R,
        (7, 0),
        (7, 0, 5),
        "after a manual failover a replica may take itself for its own primary, and crash",
        "A planned failover can cost the shard a node.",
        "Upgrade to 7.0.5 or later before the next planned failover",
        "Redis 7.0.5 release notes, redis/redis#11263",
        grave=True,
    ),
    Bug(
        "shards-crash",
        _R,
        (7, 0),
        (7, 0, 3),
        "CLUSTER SHARDS crashes a node while another one is being met",
        "Clients that ask for CLUSTER SHARDS can end a node while the cluster grows.",
        "Upgrade to 7.0.3 or later before a node is added",
        "Redis 7.0.3 release notes, redis/redis#10942",
        grave=True,
    ),
    Bug(
        "mixed-7-crash",
        _R,
        (7, 2, 1),
        (7, 2, 5),
        "a node may crash in a cluster that also has 7.0 nodes, and when a node is removed",
        "A rolling upgrade or a CLUSTER FORGET can end a node.",
        "Upgrade to 7.2.5 or later before a node is removed",
        "Redis 7.2.2 to 7.2.5 release notes, redis/redis#12538, #12805, #12832, #12702",
        grave=True,
    ),
    Bug(
        "pause-outlives-failover",
        _R,
        (6, 2),
        (6, 2, 8),
        "writes stay blocked for 10 s after a manual failover, also after one that worked",
        "Every planned failover stops the writes of its shard for 10 s.",
        "Upgrade to 6.2.8 or later before the next planned failover",
        "Redis 6.2.8 release notes, redis/redis#9676",
    ),
    Bug(
        "takeover-keeps-epoch",
        _R,
        (6, 2),
        (7, 0, 3),
        "after a restart of a replica, CLUSTER FAILOVER TAKEOVER on it may take no new epoch",
        "Such a takeover is accepted by the node itself and by nobody else.",
        "Compare its epoch with all others before and after a takeover, or upgrade to 7.0.3 or later",
        "redis/redis#10798",
        occasion=Occasion.TAKEOVER,
    ),
    Bug(
        "migration-reverts",
        _R,
        (7, 0),
        (7, 0, 13),
        "a slot that was moved may go back to its old owner at a later failover or join",
        "Writes that were made after the move are lost with it.",
        "Upgrade to 7.0.13 or later before slots are moved",
        "Redis 7.0.13 release notes, redis/redis#12344",
        grave=True,
    ),
    Bug(
        "nodes-conf-mixed-shard-ids",
        _R,
        (7, 2),
        (8, 0),
        "beside nodes without shard ids (before 7.2) nodes.conf may be written in a form that cannot be read again",
        "A node of a half upgraded cluster may not start again.",
        "Keep a copy of each nodes.conf while versions are mixed, and do not stay there",
        "Redis 8.0 release notes, redis/redis#13468",
        occasion=Occasion.MIXED,
    ),
    Bug(
        "forget-short-id",
        _R,
        (7, 2),
        (8, 4),
        "CLUSTER FORGET with an id that is not 40 digits long reads beyond its memory",
        "A mistyped id can crash the node that is told.",
        "Paste whole ids of 40 digits, never the short ones",
        "Redis 8.2.7 and 8.4.0 release notes, redis/redis#14417",
        fixed=((8, 2, 7),),
        occasion=Occasion.FORGETTING,
    ),
    Bug(
        "full-sync-crash",
        _R,
        (8, 4),
        (8, 6, 2),
        "a replica may crash during a full copy",
        "The shard is without that replica just when it needs it.",
        "Upgrade to 8.4.4, 8.6.2 or later",
        "Redis 8.6.2 and 8.4.4 release notes, redis/redis#14848",
        fixed=((8, 4, 4),),
        grave=True,
    ),
    Bug(
        "stale-epoch-stalls",
        _V,
        (8, 0),
        (8, 0, 5),
        "a replica with a stale epoch of its primary's slots gets no votes",
        "An automatic failover can stall for minutes.",
        "Upgrade to 8.0.5 or later",
        "Valkey 8.0.5 release notes, valkey-io/valkey#2178",
        grave=True,
    ),
    Bug(
        "forgotten-comes-back",
        _V,
        (8, 1),
        None,
        "a node that was forgotten and still runs introduces itself again when its ban of a minute is over",
        "A removed node is a member again after a minute.",
        "Stop a node, or reset it, before the others forget it",
        "valkey-io/valkey#2788",
        occasion=Occasion.FORGETTING,
    ),
)

"""What a loss would do, told in values: the fate of each shard, the votes that are left, what stops serving."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rcfail.cluster.nouns import NodeId, SlotRange
from rcfail.cluster.snapshot import Known
from rcfail.cluster.succession import Span


class Fate(StrEnum):
    """What becomes of the slots of one shard."""

    KEPT = "kept"  # its primary lives
    TAKEN_OVER = "taken-over"  # a replica is elected
    UNKNOWN = "unknown"  # whether one is cannot be told
    STUCK = "stuck"  # a copy is left, and nobody is elected
    GONE = "gone"  # no copy is left


class Stop(StrEnum):
    """Why primaries that live would serve nothing any more."""

    NOTHING = "nothing"
    QUORUM = "quorum"  # no majority of the voters is left
    COVERAGE = "coverage"  # slots are out, and cluster-require-full-coverage is yes
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ShardAfter:
    """One shard that owns slots, after the loss and the failovers that follow by themselves.

    `lost` are its members that live and are lost now; who was dead before is not among them. `contenders` may
    be promoted, the likeliest first. `reasons` tell why nobody is, or why it cannot be told. `outage_ms` is how
    long its slots take no write. `behind_bytes` is how far the likeliest contender was behind; None: not known, or it
    had no link (`linked` False). `replicas` are counted before and after; a replica without a link is none, and one
    that does not tell is counted as unseen. `starved`: what is left of it refuses writes, for min-replicas-to-write
    asks for more replicas. `doubt`: whether a replica is left, or enough for writes, or whether the primary serves,
    hangs on what was not seen. `adopts` is a replica of another shard that moves here by itself; it is counted here.
    """

    primary_id: NodeId
    slots: tuple[SlotRange, ...]
    fate: Fate
    lost: tuple[NodeId, ...] = ()
    contenders: tuple[NodeId, ...] = ()
    reasons: tuple[tuple[NodeId, tuple[str, ...]], ...] = ()
    outage_ms: Span | None = None
    delay_ms: Span | None = None
    behind_bytes: int | None = None
    linked: bool = True
    empty: bool = False
    replicas_before: int = 0
    replicas_after: int = 0
    replicas_unseen: int = 0
    doubt: bool = False
    adopts: NodeId | None = None
    starved: bool = False

    @property
    def slot_count(self) -> int:
        return sum(last - first + 1 for first, last in self.slots)

    @property
    def out(self) -> bool:
        """Its slots have no owner that lives, and get none by themselves."""
        return self.fate in (Fate.STUCK, Fate.GONE)


@dataclass(frozen=True, slots=True)
class VotesAfter:
    """`left` of all `voters` stand together right after the loss; `after` do so when the failovers are over.

    `standing` tells whether those left are a majority, so that failovers can be voted.
    """

    voters: int
    needed: int
    left: int
    after: int
    standing: Known

    @property
    def spare(self) -> int:
        """How many more voters may be lost afterwards."""
        return self.after - self.needed


@dataclass(frozen=True, slots=True)
class Forecast:
    """The cluster after the loss of `lost`, when all that happens by itself has happened.

    `unowned` slots have no owner now already. `stop` tells whether the primaries that live serve at all.
    `retry_ms`: two elections at once can collide, and then one of them takes so much longer; None: they do not.
    `timeout_known` is False where no node tells its node timeout, so that all times rest on the default.
    """

    lost: tuple[NodeId, ...]
    shards: tuple[ShardAfter, ...]
    unowned: tuple[SlotRange, ...]
    votes: VotesAfter
    stop: Stop
    coverage: Known
    retry_ms: int | None = None
    timeout_known: bool = True

    @property
    def out(self) -> tuple[SlotRange, ...]:
        """All slots without an owner, in their order."""
        return tuple(sorted((*self.unowned, *(each for shard in self.shards if shard.out for each in shard.slots))))

    @property
    def out_count(self) -> int:
        return sum(last - first + 1 for first, last in self.out)

    def of_fate(self, *fates: Fate) -> tuple[ShardAfter, ...]:
        return tuple(shard for shard in self.shards if shard.fate in fates)

    @property
    def bare(self) -> tuple[ShardAfter, ...]:
        """Shards that serve and have no replica left."""
        left = (shard for shard in self.shards if not shard.out)
        return tuple(shard for shard in left if not shard.replicas_after and not shard.replicas_unseen)

    @property
    def doubtful(self) -> tuple[ShardAfter, ...]:
        """Shards of which it cannot be told who serves them, or with what replicas."""
        return tuple(shard for shard in self.shards if shard.fate is Fate.UNKNOWN or (shard.doubt and not shard.out))

    @property
    def paused_ms(self) -> Span | None:
        """How long the slots of a lost primary take no write; the shortest and the longest. None: nothing pauses."""
        spans = [shard.outage_ms for shard in self.shards if shard.outage_ms]
        return (min(each[0] for each in spans), max(each[1] for each in spans)) if spans else None

    @property
    def others_paused_ms(self) -> Span | None:
        """How long all other slots refuse too, between the verdict and the last election; None: they do not."""
        spans = [shard.delay_ms for shard in self.shards if shard.delay_ms]
        if not spans or self.coverage is Known.NO or self.stop is not Stop.NOTHING:
            return None
        return max(each[0] for each in spans), max(each[1] for each in spans)


def harm(forecast: Forecast) -> tuple[int, ...]:
    """Greater is worse. What counts first: the quorum, then slots, writes, what cannot be told, replicas, time."""
    pause = forecast.paused_ms
    interrupted = sum(shard.slot_count for shard in forecast.shards if shard.outage_ms)
    return (
        forecast.votes.standing is Known.NO,
        forecast.out_count,
        sum(shard.slot_count for shard in forecast.shards if shard.starved or shard.empty),
        len(forecast.doubtful),
        len(forecast.bare),
        -forecast.votes.spare,
        interrupted,
        pause[1] if pause else 0,
        len(forecast.lost),
    )

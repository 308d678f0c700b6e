"""Whether the replicas of a shard could really stand in for their primary: logins, users, memory, copies for writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rcfail.cluster.logins import differing, refusal
from rcfail.cluster.snapshot import Node, Shard, Snapshot, View
from rcfail.health.finding import Finding, Severity, Thresholds, of_shard
from rcfail.health.rules.drift import has_less_memory
from rcfail.health.wording import called, counted, listing, redis_cli

_MOST_USERS = 4
_MOST_REASONS = 4


class Shortcoming(NamedTuple):
    """One thing that a failover would bring to light."""

    seen: str
    means: str
    hint: str


def failover_unprepared(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A failover of the shard would work, and then something else would not; one finding a shard.

    Needs INFO and CONFIG GET of both sides. Logins and users are compared as far as we see them (ACL LIST as the
    default user; masterauth only where we need a password ourselves), and where they do not, nothing is said.
    """
    for shard in snapshot.shards:
        primary = snapshot.nodes[shard.primary_id]
        if not primary.slots or primary.view is None:
            continue
        reasons = [
            reason
            for replica in _answering(snapshot, shard)
            for reason in shortcomings(snapshot, shard, primary, replica)
        ]
        if reasons:
            yield _finding(snapshot, shard, reasons)


def _answering(snapshot: Snapshot, shard: Shard) -> list[Node]:
    return [node for node in snapshot.replicas_of(shard) if node.view is not None]


def shortcomings(snapshot: Snapshot, shard: Shard, primary: Node, replica: Node) -> Iterator[Shortcoming]:
    """What a failover to this replica would bring to light. Both nodes have answered."""
    yield from _logins(snapshot, shard, primary, replica)
    yield from _users(primary, replica)
    yield from _memory(snapshot, primary, replica)
    yield from _copies(shard, replica)


def _logins(snapshot: Snapshot, shard: Shard, primary: Node, candidate: Node) -> Iterator[Shortcoming]:
    """Whoever will have to log in at the candidate: the demoted primary, and its siblings."""
    others = [primary, *(each for each in _answering(snapshot, shard) if each is not candidate)]
    for node in others:
        why = _turned_away(node.view, candidate.view)
        if why:
            yield Shortcoming(
                f"{called(node)} could not log in at {called(candidate)}: {why}",
                "After a failover to it, that node gets no data any more, so the shard is left without that copy.",
                "Set masterauth, and masteruser if there is one, on every node to what the others take: "
                + redis_cli(node.endpoint, "CONFIG", "GET", "masteruser"),
            )
    link_up = candidate.vitals is not None and candidate.vitals.replication.link_up
    if link_up and (why := _turned_away(candidate.view, primary.view)):
        yield Shortcoming(
            f"{called(candidate)} could not log in at its primary {called(primary)} again: {why}",
            "Its link is up from before; once it breaks, it stays down.",
            "Set masterauth, and masteruser if there is one, on it to what the primary takes: "
            + redis_cli(candidate.endpoint, "CONFIG", "GET", "masteruser"),
        )


def _turned_away(view: View | None, by: View | None) -> str:
    """Why the one would not be let in by the other; "" where it would be, and where that cannot be told."""
    if view is None or by is None or view.login is None:
        return ""
    if by.users is not None:
        return refusal(view.login, by.users)
    # Without its users, its own masterauth stands for what a node takes: one password for all is the usual way.
    wanted = by.login.password if by.login is not None else ""
    if wanted and not view.login.password:
        return "masterauth is not set"
    return ""


def _users(primary: Node, replica: Node) -> Iterator[Shortcoming]:
    ours, theirs = primary.view, replica.view
    if ours is None or theirs is None or ours.users is None or theirs.users is None:
        return
    here, there = ours.vitals.server, theirs.vitals.server
    same_words = (here.flavour, here.version[:2]) == (there.flavour, there.version[:2])
    found = [f"{name} {how}" for name, how in differing(ours.users, theirs.users, rules=same_words)]
    if found:
        yield Shortcoming(
            f"ACL users of {called(replica)} are not those of its primary: {listing(found, _MOST_USERS)}",
            "After a failover clients are refused that are served now, or served that are refused now.",
            f"Users are not copied between nodes; compare them as an administrator: "
            f"{redis_cli(replica.endpoint, 'ACL', 'LIST')}",
        )


def _memory(snapshot: Snapshot, primary: Node, replica: Node) -> Iterator[Shortcoming]:
    if not has_less_memory(snapshot, replica) or replica.vitals is None or primary.vitals is None:
        return
    allowed, needed = replica.vitals.storage.maxmemory, primary.vitals.storage.maxmemory
    yield Shortcoming(
        f"{called(replica)} has maxmemory {allowed}, its primary {needed or 'no limit'}",
        "As a replica it ignores its limit; once promoted it evicts keys, or refuses writes.",
        f"Give it the limit of its primary: {redis_cli(replica.endpoint, 'CONFIG', 'SET', 'maxmemory', str(needed))}",
    )


def _copies(shard: Shard, replica: Node) -> Iterator[Shortcoming]:
    """With all siblings well, and the old primary dead: min-replicas-max-lag 0 switches the rule off."""
    config = replica.vitals.config if replica.vitals else None
    needed = config.min_replicas_to_write if config else None
    siblings = len(shard.replica_ids) - 1
    if config is None or not needed or config.min_replicas_max_lag_s == 0 or needed <= siblings:
        return
    yield Shortcoming(
        f"{called(replica)} wants {counted(needed, 'replica')} for a write (min-replicas-to-write), and would have "
        f"{siblings}",
        "When its primary dies and it is promoted, it refuses every write until more replicas are there."
        if needed == siblings + 1
        else "Once promoted it refuses every write, also when the old primary is back.",
        "Add a replica to the shard, or lower the setting on its nodes: "
        + redis_cli(replica.endpoint, "CONFIG", "SET", "min-replicas-to-write", str(siblings)),
    )


def _finding(snapshot: Snapshot, shard: Shard, reasons: list[Shortcoming]) -> Finding:
    seen = [reason.seen for reason in reasons]
    more = f"; and {len(seen) - _MOST_REASONS} more of the kind" if len(seen) > _MOST_REASONS else ""
    return Finding(
        "failover-unprepared",
        Severity.WARNING,
        of_shard(snapshot, shard),
        "; ".join(seen[:_MOST_REASONS]) + more,
        " ".join(dict.fromkeys(reason.means for reason in reasons)),
        reasons[0].hint,
    )


RULES = (failover_unprepared,)

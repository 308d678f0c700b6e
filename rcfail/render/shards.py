"""One block a shard: its primary, then its replicas, one line a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rcfail.cluster.lag import lag_of
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known, Node, Shard, Snapshot
from rcfail.health.finding import Finding, Severity, SubjectKind
from rcfail.health.standing import Standing, peers, standings
from rcfail.health.wording import counted
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.words import place, ranges, size

MOST_SHARDS = 50
"""In a larger cluster only shards that something is wrong with are drawn, and at most MOST_TOUCHED of them."""

MOST_TOUCHED = 20

_WIDEST_ADDRESS = 26
_MOST_RANGES = 6

_STANDING_WORDS = {
    Standing.LOADING: "is loading",
    Standing.REPLACED: "another node answers there",
    Standing.NO_ADDRESS: "nobody knows its address",
    Standing.GHOST: "dead for long",
}


@dataclass(frozen=True, slots=True)
class _Columns:
    """How wide each column is in this cluster; a zone column of width 0 is left out."""

    address: int
    zone: int
    width: int


def shard_blocks(
    snapshot: Snapshot, findings: Iterable[Finding], width: int, show_all: bool, most: int = MOST_SHARDS
) -> Iterator[Line]:
    """All shards in the order of their slots, then the members of none. Of more than `most` the hurt ones alone."""
    findings = tuple(findings)
    touched = touched_shards(snapshot, findings)
    drawn: Sequence[Shard] = snapshot.shards
    if len(drawn) > most and not show_all:
        drawn = [shard for shard in drawn if shard.primary_id in touched][:MOST_TOUCHED]
    table = _Table(snapshot, _columns(snapshot, width), findings)
    for shard in drawn:
        yield from table.shard(shard)
    left_out = [shard for shard in snapshot.shards if shard not in drawn] if len(drawn) < len(snapshot.shards) else []
    if left_out:
        yield from _left_out(left_out, touched, bool(drawn), width)
    yield from table.outsiders()


def touched_shards(snapshot: Snapshot, findings: Iterable[Finding]) -> frozenset[NodeId]:
    """The shards that a finding is about, by primary; what is only information does not count."""
    shard_of = {
        member: shard.primary_id for shard in snapshot.shards for member in (shard.primary_id, *shard.replica_ids)
    }
    found: set[NodeId] = set()
    for finding in findings:
        if finding.severity is Severity.INFO:
            continue
        if finding.subject.kind is SubjectKind.SLOT:
            found.update(_owners(snapshot, finding.subject.id))
        elif finding.subject.id:
            found.add(NodeId(finding.subject.id))
    return frozenset(shard_of[each] for each in found if each in shard_of)


def _owners(snapshot: Snapshot, slots: str) -> Iterator[NodeId]:
    first, _, last = slots.partition("-")
    if not first.isdecimal():
        return
    low, high = int(first), int(last or first) if (last or first).isdecimal() else int(first)
    for stretch in snapshot.stretches:
        if stretch.first <= high and stretch.last >= low:
            yield from (claim.node_id for claim in stretch.claims)


def _left_out(shards: Sequence[Shard], touched: frozenset[NodeId], after_others: bool, width: int) -> Iterator[Line]:
    bad = sum(1 for shard in shards if shard.primary_id in touched)
    nodes = sum(1 + len(shard.replica_ids) for shard in shards)
    words = f"{counted(len(shards), 'shard')} with {counted(nodes, 'node')} not shown"
    words += f", {bad} of them with findings" if bad else ", nothing wrong with them"
    lead = "and " if after_others else ""
    yield EMPTY
    yield from wrapped(f"{lead}{words}: --all shows them", width, style=Style.DIM)


def _columns(snapshot: Snapshot, width: int) -> _Columns:
    nodes = snapshot.nodes.values()
    address = max((len(place(node)) for node in nodes), default=0)
    return _Columns(min(address, _WIDEST_ADDRESS), max((min(12, len(node.zone)) for node in nodes), default=0), width)


class _Table:
    """Draws the nodes of one snapshot."""

    def __init__(self, snapshot: Snapshot, columns: _Columns, findings: Iterable[Finding]) -> None:
        self._snapshot = snapshot
        self._columns = columns
        self._standings: Mapping[NodeId, Standing] = standings(snapshot)
        self._told: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.subject.kind is SubjectKind.NODE and finding.severity is not Severity.INFO:
                self._told.setdefault(finding.subject.id, []).append(finding)

    def shard(self, shard: Shard) -> Iterator[Line]:
        primary = self._snapshot.nodes[shard.primary_id]
        yield EMPTY
        if shard.slots:
            words = f"shard {ranges(shard.slots, _MOST_RANGES)} ({counted(shard.slot_count, 'slot')})"
        else:
            words = "shard without slots"
        yield from wrapped(f"{words}, epoch {primary.config_epoch}", self._columns.width, indent=6, style=Style.HEAD)
        yield from self._row(primary)
        for replica in self._snapshot.replicas_of(shard):
            yield from self._row(replica, upstream=shard.primary_id, epoch=primary.config_epoch)
        if not shard.replica_ids:
            yield line(Span("  no replica", Style.WARN))

    def outsiders(self) -> Iterator[Line]:
        """Members of no shard: primaries that own nothing and have no replica, replicas of nobody known."""
        inside = {each for shard in self._snapshot.shards for each in (shard.primary_id, *shard.replica_ids)}
        outside = [node for node in self._snapshot.nodes.values() if node.node_id not in inside]
        if outside:
            yield EMPTY
            yield line(Span("outside any shard", Style.HEAD))
        for node in outside:
            yield from self._row(node)

    def _row(self, node: Node, upstream: NodeId | None = None, epoch: int | None = None) -> Iterator[Line]:
        columns = self._columns
        role = {Role.PRIMARY: "primary", Role.REPLICA: "replica"}.get(node.role, "unknown")
        cells = f"  {role}  {place(node):<{columns.address}}  {node.short}  "
        if columns.zone:
            cells += f"{node.zone[: columns.zone]:<{columns.zone}}  "
        words, style = self._state(node, upstream, epoch)
        # An address too long for its column pushes the state to a line of its own.
        indent = min(len(cells), columns.width // 2)
        yield from wrapped(words, columns.width, first=line(span(cells)), indent=indent, style=style)

    def _state(self, node: Node, upstream: NodeId | None, epoch: int | None) -> tuple[list[str], Style]:
        bad = self._faults(node)
        said = list(bad)
        if node.role is Role.REPLICA and node.vitals is not None:
            link_up = node.vitals.replication.link_up
            said.extend(self._link(node, link_up))
            bad = bad or ([] if link_up else ["link"])
        elif not bad:
            # Never "ok" beside a finding about it, such as a primary that refuses writes.
            told = self._told.get(node.node_id, ())
            said.extend(dict.fromkeys(each.code for each in told))
            bad = [each.code for each in told if each.severity is Severity.CRITICAL]
        if node.role is Role.REPLICA and upstream is not None and node.primary_id != upstream:
            said.append(f"follows {(node.primary_id or '-')[:8]}")
        if epoch is not None and node.config_epoch != epoch:
            said.append(f"epoch {node.config_epoch}")
        if "nofailover" in node.flags:
            said.append("nofailover")
        if node.address.hostname:
            said.append(node.address.hostname)
        return said or ["ok"], Style.BAD if bad else Style.PLAIN

    def _link(self, node: Node, link_up: bool | None) -> Iterator[str]:
        lag = lag_of(self._snapshot, node)
        age = f" {lag.quiet_s} s" if lag.quiet_s is not None else ""
        behind = "lag unknown" if lag.behind_bytes is None else f"lag {size(lag.behind_bytes)}"
        if link_up is None:
            yield "link unknown"
        elif link_up:
            yield from ("link up", behind, *([age.strip()] if age else []))
        else:
            yield f"link DOWN{age}"
            if lag.behind_bytes is not None:
                yield behind

    def _faults(self, node: Node) -> list[str]:
        """What is wrong with the node itself, worst first."""
        said: list[str] = []
        if node.failed_by or node.suspected_by:
            flag, by = ("FAILED", node.failed_by) if node.failed_by else ("suspected", node.suspected_by)
            said.append(f"{flag} for {len(by)} of {peers(self._snapshot, node.node_id)}")
        standing = self._standings[node.node_id]
        if standing in _STANDING_WORDS:
            said.append(_STANDING_WORDS[standing])
        elif node.silence is not None:
            said.append(f"silent: {node.silence.reason}")
        if node.view is None and node.alive is Known.YES:
            said.append("alive for others")
        if node.vitals is not None and node.vitals.cluster.state == "fail":
            said.append("state:fail")
        if node.view is not None and standing is Standing.ANSWERS and not node.view.vitals.cluster.state:
            said.append("state unknown")
        return said

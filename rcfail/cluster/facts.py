"""A picture of the cluster as facts: one short text for each thing that can be told of one subject.

What was not said is absent, so a fact that is missing never passes for a fact that is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from rcfail.cluster.nouns import Belief, OpenSlot, Role, SlotRange
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.sync import Sync, sync_of


class Fact(StrEnum):
    """What is compared, in the order of report: causes before what they cause."""

    MEMBER = "member"
    SILENCE = "silence"
    RUN = "run"
    LOADING = "loading"
    SUSPICION = "suspicion"
    EPOCH = "epoch"
    ROLE = "role"
    SLOTS = "slots"
    OPEN = "open"
    FOLLOWS = "follows"
    SYNC = "sync"
    STATE = "state"
    QUORUM = "quorum"
    FLAGS = "flags"
    ADDRESS = "address"
    VERSION = "version"


_PLAIN_FLAGS = frozenset({"master", "slave", "noflags", "fail", "fail?", "myself", "handshake"})

Key: TypeAlias = tuple[Fact, str]
Owners: TypeAlias = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """One picture as facts. `of` maps a fact of a node (id "" is the cluster) to its text; what was not said is
    absent. `owners` are first slot, last slot and owner ("" for none), and cover all slots. `places` are addresses.
    """

    at_unix_ms: int
    of: Mapping[Key, str]
    owners: Owners
    places: Mapping[str, str]


def remembered(before: Facts, after: Facts) -> Facts:
    """The later picture, with what was known before of members that do not say it now."""
    kept = {key: text for key, text in before.of.items() if is_member(after, key[1])}
    return Facts(after.at_unix_ms, {**kept, **after.of}, after.owners, after.places)


def facts_of(snapshot: Snapshot) -> Facts:
    """Cut a picture into facts."""
    said: dict[Key, str] = {(Fact.QUORUM, ""): snapshot.electorate.quorum.value}
    epochs = [each for view in snapshot.views if (each := view.vitals.cluster.current_epoch) is not None]
    if epochs:
        said[Fact.EPOCH, ""] = str(max(epochs))
    for node in snapshot.nodes.values():
        for fact, text in _of_node(snapshot, node):
            said[fact, node.node_id] = text
    owners = tuple([(each.first, each.last, str(each.owner or "")) for each in snapshot.stretches])
    places = {str(node.node_id): _place(node) for node in snapshot.nodes.values()}
    return Facts(snapshot.taken_at_unix_ms, said, owners, places)


def _of_node(snapshot: Snapshot, node: Node) -> Iterator[tuple[Fact, str]]:
    yield Fact.MEMBER, node.role.value
    yield Fact.ROLE, node.role.value
    yield Fact.SILENCE, "" if node.view else (node.silence.reason.value if node.silence else "not asked")
    yield Fact.SUSPICION, "failed" if node.failed_by else ("suspected" if node.suspected_by else "")
    yield Fact.FLAGS, ", ".join(sorted(node.flags - _PLAIN_FLAGS))
    if node.address.endpoint:
        yield Fact.ADDRESS, str(node.address)
    if node.role is not Role.UNKNOWN:
        yield Fact.FOLLOWS, (node.primary_id or "") if node.role is Role.REPLICA else ""
    if node.role is Role.PRIMARY:
        yield Fact.EPOCH, str(node.config_epoch)
    yield from _own_word(snapshot, node)


def _own_word(snapshot: Snapshot, node: Node) -> Iterator[tuple[Fact, str]]:
    """What only the node itself can say."""
    vitals = node.vitals
    if vitals is None:
        return
    sync = sync_of(snapshot, node) if node.role is Role.REPLICA else None
    if sync is not Sync.UNKNOWN:
        yield Fact.SYNC, sync.value if sync else ""
    if vitals.storage.loading is not None:
        yield Fact.LOADING, "loading" if vitals.storage.loading else ""
    for fact, text in (
        (Fact.RUN, vitals.server.run_id),
        (Fact.STATE, vitals.cluster.state),
        (Fact.VERSION, vitals.server.version_text),
    ):
        if text:
            yield fact, text
    own = node.view.own if node.view else None
    if own is not None:
        yield Fact.OPEN, _open_words(own)


def _open_words(own: Belief) -> str:
    pairs = (("migrating", own.migrating), ("importing", own.importing))
    return "; ".join(f"{word} {ranges_text(_joined(slots))}" for word, slots in pairs if slots)


def _joined(slots: tuple[OpenSlot, ...]) -> list[SlotRange]:
    joined: list[SlotRange] = []
    for slot in sorted({slot for slot, _ in slots}):
        if joined and joined[-1][1] + 1 == slot:
            joined[-1] = (joined[-1][0], slot)
        else:
            joined.append((slot, slot))
    return joined


def ranges_text(slots: list[SlotRange]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in slots)


def _place(node: Node) -> str:
    place = node.endpoint or node.address.endpoint
    return str(place) if place else ""


def is_member(facts: Facts, node_id: str) -> bool:
    return not node_id or (Fact.MEMBER, node_id) in facts.of

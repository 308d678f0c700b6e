"""Primaries that serve reads and refuse every write, while all nodes say cluster_state:ok."""

from __future__ import annotations

from binascii import crc_hqx
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rcfail.cluster.nouns import SLOT_COUNT, Belief
from rcfail.cluster.vitals import Vitals
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.altered import setting
from rcfail.practice.lab.damage import Refusal, WriteStop
from rcfail.practice.lab.faults import Broken, await_effect, broken, command, opened, state
from rcfail.practice.lab.processes import ProcessState
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.wire.refusals import Refusal as Refused

_EFFECT_WITHIN_S = 15.0
_DUMP_FILE = "dbfilename"
_SAVE = "save"
# A name that no user's file has: the data that was saved before.
_KEPT = ".before-misconf"
_SETTINGS = {
    Refusal.OOM: ("maxmemory", "maxmemory-policy"),
    Refusal.MISCONF: (_SAVE, "stop-writes-on-bgsave-error", _DUMP_FILE),
    Refusal.NOREPLICAS: ("min-replicas-to-write", "min-replicas-max-lag"),
}


def refuse_writes(register: Register, name: str, word: str, refusal: Refusal) -> Broken:
    """Make a primary answer every write with OOM, MISCONF or NOREPLICAS, and return when it does.

    A restart ends it, as the settings are not written down. Raises UsageFault where the node owns no slots.
    """
    with opened(register, name) as entry:
        node, talk = entry.find(word), talk_to(entry)
        # A client gets one error, so a second one could not be seen.
        for stop in entry.write_stops:
            if stop.node == node.name:
                hint = f"Mend it first: {command(entry, f'mend {node.name}')}."
                raise UsageFault(f"{node.name} refuses writes with {stop.refusal.name} already", hint)
        key, vitals = _own_key(entry, node, talk)
        before = tuple((option, setting(node, talk, option)) for option in _SETTINGS[refusal])
        # Entered first, so that the node can be mended whatever happens.
        register.write(replace(entry, write_stops=(*entry.write_stops, WriteStop(refusal, node.name, before))))
        match refusal:
            case Refusal.OOM:
                done = _fill(node, talk, vitals)
            case Refusal.MISCONF:
                done = _spoil_saving(node, talk, dict(before))
            case Refusal.NOREPLICAS:
                done = _want_more_replicas(node, talk, vitals)
        await_effect(
            lambda: _answer(node, talk, key).startswith(refusal.name),
            _EFFECT_WITHIN_S,
            f"{node.name} to answer a write with {refusal.name}",
        )
        return broken(entry, refusal.value, node, f"{done}: it answers writes with {refusal.name}", "mend")


def mend_writes(entry: LabEntry, node: NodeEntry) -> LabEntry:
    """Undo all write stops of a node, and return the entry without them. Raises LabFault where it cannot be told."""
    process = state(node)
    for stop in reversed(entry.write_stops):
        if stop.node != node.name:
            continue
        if process is ProcessState.FROZEN:
            raise UsageFault(
                f"{node.name} is frozen, so it cannot be told", f"Thaw it first: {command(entry, f'thaw {node.name}')}."
            )
        if process is ProcessState.RUNNING:
            _take_back(entry, node, stop)
    return without_write_stops(entry, node)


def without_write_stops(entry: LabEntry, node: NodeEntry) -> LabEntry:
    """What a node's end leaves of its write stops: the settings went with the process, the files are put back here."""
    mend_files(entry, node)
    return replace(entry, write_stops=tuple(stop for stop in entry.write_stops if stop.node != node.name))


def mend_files(entry: LabEntry, node: NodeEntry) -> None:
    """Put back the saved data that MISCONF has moved away: a server does not start on what stands there instead."""
    for stop in entry.write_stops:
        if (stop.node, stop.refusal) == (node.name, Refusal.MISCONF):
            dump = Path(node.folder) / dict(stop.before)[_DUMP_FILE]
            if dump.is_dir():
                dump.rmdir()
            kept = dump.with_name(dump.name + _KEPT)
            if kept.exists():
                kept.rename(dump)


def _fill(node: NodeEntry, talk: Talk, vitals: Vitals) -> str:
    """A limit that is half of what it uses already, and nothing that it may evict (performEvictions, evict.c)."""
    limit = max(1, (vitals.storage.used_memory or 0) // 2)
    talk.tell(node, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    talk.tell(node, "CONFIG", "SET", "maxmemory", limit)
    return f"maxmemory is {limit} bytes, half of what it uses, with noeviction"


def _spoil_saving(node: NodeEntry, talk: Talk, before: dict[str, str]) -> str:
    """A directory where the saved file is to be renamed to: that fails for root too, unlike a missing permission."""
    dump = Path(node.folder) / before[_DUMP_FILE]
    if dump.exists():
        dump.rename(dump.with_name(dump.name + _KEPT))
    dump.mkdir()
    # Without a save line a failed save stops nothing (writeCommandsDeniedByDiskError, server.c).
    if not before[_SAVE]:
        talk.tell(node, "CONFIG", "SET", _SAVE, "3600 1")
    talk.tell(node, "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
    _save(node, talk, works=False)
    return f"a directory stands where {dump.name} is to be saved, and BGSAVE failed"


def _want_more_replicas(node: NodeEntry, talk: Talk, vitals: Vitals) -> str:
    there = vitals.replication.connected_replicas or 0
    talk.tell(node, "CONFIG", "SET", "min-replicas-max-lag", 10)
    talk.tell(node, "CONFIG", "SET", "min-replicas-to-write", there + 1)
    return f"min-replicas-to-write is {there + 1}, and it has {there or 'no'} replica{'' if there == 1 else 's'}"


def _take_back(entry: LabEntry, node: NodeEntry, stop: WriteStop) -> None:
    talk, before = talk_to(entry), dict(stop.before)
    if stop.refusal is Refusal.MISCONF:
        dump = Path(node.folder) / before[_DUMP_FILE]
        had_one = dump.with_name(dump.name + _KEPT).exists()
        mend_files(entry, node)
        _save(node, talk, works=True)
        # A node without persistence is to come back empty, as it would have before.
        if not had_one and not before[_SAVE]:
            dump.unlink(missing_ok=True)
    for option, value in stop.before:
        if option != _DUMP_FILE:
            talk.tell(node, "CONFIG", "SET", option, value)


def _save(node: NodeEntry, talk: Talk, *, works: bool) -> None:
    """BGSAVE until it has gone as it must. One may be under way already, of the node's own or for a replica."""

    def look() -> bool:
        vitals = talk.see(node).vitals
        if vitals is None or vitals.storage.bgsave_in_progress:
            return False
        if vitals.storage.last_bgsave_ok is works:
            return True
        with suppress(LabFault):  # another save began meanwhile: that one tells as well
            talk.tell(node, "BGSAVE")
        return False

    await_effect(look, _EFFECT_WITHIN_S, f"{node.name} to say rdb_last_bgsave_status:{'ok' if works else 'err'}")


def _own_key(entry: LabEntry, node: NodeEntry, talk: Talk) -> tuple[str, Vitals]:
    """A key of a slot that this node owns, and its vitals."""
    sight = talk.see(node)
    if sight.nodes is None or sight.vitals is None:
        raise LabFault(f"{node.name} ({node.endpoint}) does not answer: {sight.silence}", "Look: rcfail lab status.")
    own = sight.nodes.table.by_id.get(node.node_id)
    if own is None or not own.slots:
        raise UsageFault(
            f"{node.name} owns no slots, so it takes no writes of clients",
            f"See who does: rcfail lab status {entry.name}.",
        )
    return key_of(own), sight.vitals


def key_of(owner: Belief) -> str:
    """A key of a slot that this node owns. The slot of a key is its CRC16 modulo 16384 (keyHashSlot, cluster.c)."""
    keys = (f"rcfail-lab-{number}" for number in range(SLOT_COUNT * 100))
    return next(key for key in keys if _owns(owner, crc_hqx(key.encode(), 0) % SLOT_COUNT))


def _owns(owner: Belief, slot: int) -> bool:
    return any(first <= slot <= last for first, last in owner.slots)


def _answer(node: NodeEntry, talk: Talk, key: str) -> str:
    """What the node says to a write that would change nothing: SETRANGE of nothing makes no key (t_string.c)."""
    (reply,) = talk.ask(node, ("SETRANGE", key, 0, ""))
    return reply.text if isinstance(reply, Refused) else ""

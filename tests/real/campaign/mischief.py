"""Breaking a real cluster at random, and mending it again: the hands of the campaign."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rcfail.clock import SYSTEM_CLOCK
from rcfail.cluster.nouns import NodeId
from rcfail.errors import RcfailError
from rcfail.practice.lab.tables import Side
from tests.real.campaign.caretaker import TELL_WITHIN_S, Caretaker, NotNow
from tests.real.campaign.oracle import process_state
from tests.real.resp import Mute, Wire

FORGET_BAN_S = 61.0
_DUMP = "dump.rdb"
_SECRET = "campaign"
_FIRST_TO_HEAL = (
    "kill",
    "freeze",
    "partition",
    "cut-bus",
    "cut-bus-one-way",
    "cut-client",
    "busy",
    "password",
    "wrong-address",
)


@dataclass(frozen=True, slots=True)
class Scar:
    """Something that was broken and is not mended yet. `nodes` are those that it was done to."""

    kind: str
    text: str
    nodes: tuple[str, ...]
    heal: Callable[[], str]


class Mischief:
    """One random thing after the other, on one lab. `slots` are those that slot faults are made on."""

    def __init__(self, caretaker: Caretaker, rng: random.Random, slots: tuple[int, ...], slow: bool) -> None:
        self._care, self._lab, self._rng, self._slots = caretaker, caretaker.lab, rng, slots
        self.scars: list[Scar] = []
        self.paused_until_s: dict[str, float] = {}
        self._banned_until_s = 0.0
        often = (self._kill, self._freeze, self._failover)
        sometimes = (
            self._break_replication,
            self._cut_bus,
            self._cut_client,
            self._open_slot,
            self._delslots,
            self._part,
        )
        seldom = (
            self._cut_bus_one_way, self._min_replicas, self._oom, self._misconf, self._password, self._pause,
            self._pause_all, self._no_failover, self._sleep, self._busy, self._reset, self._reset_hard, self._amnesia,
            self._defect, self._wrong_owner, self._wrong_address, self._meet_nobody,
        )  # fmt: skip
        self._actions: list[Callable[[], Scar | str | None]] = [*often * 4, *sometimes * 2, *seldom]
        if slow:
            self._actions.append(self._forget)

    def break_something(self) -> str:
        """What was done, in words. Tries until something can be done."""
        for _ in range(20):
            action = self._rng.choice(self._actions)
            try:
                done = action()
            except (NotNow, RcfailError) as error:
                return f"{action.__name__} could not be done: {error}"
            if isinstance(done, Scar):
                self.scars.append(done)
                return done.text
            if done:
                return done
        return "nothing could be broken"

    def heal_something(self) -> str:
        return self._heal(self._rng.choice(self.scars))

    def heal_all(self) -> list[str]:
        """Processes first, then the network, then what needs both."""
        order = {kind: at for at, kind in enumerate(_FIRST_TO_HEAL)}
        self.scars.sort(key=lambda scar: order.get(scar.kind, len(order)))
        return [self._heal(scar) for scar in tuple(self.scars)]

    def _heal(self, scar: Scar) -> str:
        self.scars.remove(scar)
        try:
            return f"mended: {scar.text}: {scar.heal()}"
        except (NotNow, RcfailError) as error:
            self.scars.append(scar)
            return f"not mended: {scar.text}: {error}"

    # ---- processes

    def _kill(self) -> Scar | None:
        name = self._pick(self._running())
        if name is None:
            return None
        self._lab.kill(name)
        return Scar("kill", f"kill {name}", (name,), lambda: self._restart(name))

    def _restart(self, name: str) -> str:
        with suppress(OSError):
            (Path(self._lab.node(name).folder) / _DUMP).rmdir()
        node = self._lab.node(name)
        if node.process and process_state(node.process.pid) != "gone":
            return "it runs already"
        return self._lab.restart(name).effect

    def _freeze(self) -> Scar | None:
        name = self._pick(self._running())
        if name is None:
            return None
        self._lab.freeze(name)
        return Scar("freeze", f"freeze {name}", (name,), lambda: self._thaw(name))

    def _thaw(self, name: str) -> str:
        self._lab.thaw(name)
        return "it runs"

    def _sleep(self) -> str | None:
        """The server's only thread sleeps: it is frozen, and comes back by itself."""
        name = self._pick(self._running())
        if name is None:
            return None
        seconds = self._rng.choice((0.5, 2, 4))
        with suppress(NotNow):
            self._care.tell(name, "DEBUG", "SLEEP", seconds, within_s=0.1)
        return f"{name} sleeps for {seconds} s"

    def _busy(self) -> Scar | None:
        """A script without end: after a while the server answers everybody with BUSY, and its peers hear it."""
        name = self._pick(self._running())
        if name is None:
            return None
        self._care.tell(name, "CONFIG", "SET", "lua-time-limit", 200)
        with suppress(NotNow):
            self._care.tell(name, "EVAL", "while true do end", 0, within_s=0.1)

        def heal() -> str:
            with suppress(NotNow):  # refused when no script runs, such as after a restart
                self._care.tell(name, "SCRIPT", "KILL")
            return "no script runs"

        return Scar("busy", f"{name} runs a script without end", (name,), heal)

    # ---- the network

    def _cut_bus(self) -> Scar | None:
        return self._cut("cut-bus", lambda name: self._lab.cut_bus(name).effect)

    def _cut_bus_one_way(self) -> Scar | None:
        return self._cut("cut-bus-one-way", lambda name: self._lab.cut_bus(name, one_way=True).effect)

    def _cut_client(self) -> Scar | None:
        return self._cut("cut-client", lambda name: self._lab.cut_client(name).effect)

    def _cut(self, kind: str, cut: Callable[[str], str]) -> Scar | None:
        cut_already = {name for scar in self.scars if scar.kind.startswith("cut") for name in scar.nodes}
        name = self._pick(set(self._running()) - cut_already)
        if name is None:
            return None
        cut(name)
        return Scar(kind, f"{kind} {name}", (name,), lambda: self._lab.mend(name).effect)

    def _part(self) -> Scar | None:
        """Up to half of the nodes on the one side, the rest on the other; we see both."""
        names = sorted(self._running())
        if len(names) < 4 or any(scar.kind == "partition" for scar in self.scars):
            return None
        side = ",".join(self._rng.sample(names, self._rng.randint(1, len(names) // 2)))
        self._lab.partition(side)
        return Scar("partition", f"{side} are parted from the rest", (), lambda: self._lab.heal().effect)

    def _wrong_address(self) -> Scar | None:
        """A node announces an address where nobody is: clients are sent there."""
        name = self._pick(self._running())
        if name is None:
            return None
        host = self._lab.node(name).host
        wrong = self._nowhere(name)
        self._care.tell(name, "CONFIG", "SET", "cluster-announce-ip", wrong)

        def heal() -> str:
            self._care.tell(name, "CONFIG", "SET", "cluster-announce-ip", host)
            return f"{name} announces {host}"

        return Scar("wrong-address", f"{name} announces {wrong}", (name,), heal)

    def _meet_nobody(self) -> str | None:
        name = self._pick(self._running())
        if name is None:
            return None
        self._care.tell(name, "CLUSTER", "MEET", self._nowhere(name), 7999)
        return f"{name} meets somebody who is not there"

    def _nowhere(self, name: str) -> str:
        return self._lab.node(name).host.rpartition(".")[0] + ".250"

    # ---- replication

    def _break_replication(self) -> Scar | None:
        name = self._pick(self._by_role("slave"))
        if name is None:
            return None
        self._lab.break_replication(name)

        def heal() -> str:
            self._care.tell(name, "CONFIG", "SET", "masteruser", "")
            self._care.tell(name, "CONFIG", "SET", "masterauth", "")
            return "its credentials are back"

        return Scar("break-replication", f"break-replication {name}", (name,), heal)

    def _no_failover(self) -> Scar | None:
        return self._set(self._by_role("slave"), "cluster-replica-no-failover", "yes", "no")

    def _defect(self) -> Scar | None:
        """A replica goes over to another shard."""
        words = self._care.words()
        replicas = {word.name: word.own.primary for word in words if word.role == "slave" and word.own}
        name = self._pick(replicas)
        if name is None:
            return None
        other = self._pick(word.name for word in words if word.own and word.own.slots and word.name != replicas[name])
        if other is None:
            return None
        self._care.tell(name, "CLUSTER", "REPLICATE", self._lab.node(other).node_id)
        text = f"{name} of {replicas[name]} now follows {other}"
        return Scar("defect", text, (name,), lambda: self._care.join(name))

    def _reset(self) -> Scar | None:
        name = self._pick(self._by_role("slave"))
        if name is None:
            return None
        self._care.tell(name, "CLUSTER", "RESET", "SOFT")
        return Scar("reset", f"reset soft {name}", (name,), lambda: self._bring_in(name))

    def _bring_in(self, name: str) -> str:
        return f"{self._care.introduce(name)}, {self._care.join(name)}"

    def _reset_hard(self) -> Scar | None:
        """It has another id after that, and nobody ever answers under the old one again."""
        name = self._pick(self._by_role("slave"))
        if name is None:
            return None
        node = self._lab.node(name)
        self._care.tell(name, "CLUSTER", "RESET", "HARD")
        new = NodeId(str(self._care.tell(name, "CLUSTER", "MYID")))
        self._rename(name, new)
        text = f"reset hard {name}, now {new[:8]}"
        return Scar("reset-hard", text, (name,), lambda: self._replace(name, node.node_id))

    def _rename(self, name: str, new: NodeId) -> None:
        entry = self._lab.entry
        self._lab.register.write(entry.with_node(replace(entry.find(name), node_id=new)))

    def _replace(self, name: str, old: NodeId) -> str:
        """Bring a node in again that has a new id; what the old one owned goes to its replica first."""
        for word in self._care.words():
            if word.role == "slave" and word.own and not word.own.primary:
                self._care.tell(word.name, "CLUSTER", "FAILOVER", "TAKEOVER")
        for word in self._care.words():
            with suppress(NotNow):  # most do not know it any more
                self._care.tell(word.name, "CLUSTER", "FORGET", old)
        return self._bring_in(name)

    def _amnesia(self) -> Scar | None:
        """A node loses its nodes.conf, and with it its id and all that it knew."""
        words = self._care.words()
        followed = {word.own.primary for word in words if word.own and word.role == "slave" and word.link == "up"}
        name = self._pick(word.name for word in words if word.role == "slave" or word.name in followed)
        if name is None:
            return None
        old = self._lab.node(name).node_id
        self._lab.kill(name)
        folder = Path(self._lab.node(name).folder)
        (folder / "nodes.conf").unlink()
        (folder / _DUMP).unlink(missing_ok=True)
        self._restart(name)
        new = NodeId(str(self._care.tell(name, "CLUSTER", "MYID")))
        self._rename(name, new)
        return Scar("amnesia", f"{name} forgets all, now {new[:8]}", (name,), lambda: self._replace(name, old))

    # ---- writes

    def _min_replicas(self) -> Scar | None:
        return self._set(self._running(), "min-replicas-to-write", self._rng.choice(("1", "2")), "0")

    def _oom(self) -> Scar | None:
        name = self._pick(self._running())
        if name is None:
            return None
        policy = self._rng.choice(("noeviction", "allkeys-lru", "volatile-ttl"))
        self._care.tell(name, "CONFIG", "SET", "maxmemory-policy", policy)
        return self._set([name], "maxmemory", "1", "0")

    def _misconf(self) -> Scar | None:
        """A folder stands where the dump belongs, so that no save can end."""
        name = self._pick(self._by_role("master"))
        if name is None:
            return None
        place = Path(self._lab.node(name).folder) / _DUMP
        place.unlink(missing_ok=True)
        place.mkdir(exist_ok=True)
        self._care.tell(name, "CONFIG", "SET", "save", "3600 1")
        self._care.tell(name, "BGSAVE")

        def heal() -> str:
            with suppress(OSError):
                place.rmdir()
            with suppress(NotNow):  # it may be gone: then it comes back with its first settings
                self._care.tell(name, "CONFIG", "SET", "save", "")
                self._care.tell(name, "BGSAVE")
            return "it can save"

        return Scar("misconf", f"{name} cannot save", (name,), heal)

    def _pause(self) -> str | None:
        return self._hold(self._by_role("master"), "WRITE")

    def _pause_all(self) -> str | None:
        return self._hold(self._running(), "ALL")

    def _hold(self, names: Iterable[str], what: str) -> str | None:
        name = self._pick(names)
        if name is None:
            return None
        ms = self._rng.choice((1000, 4000, 8000))
        self._care.tell(name, "CLIENT", "PAUSE", ms, what)
        if what == "WRITE":
            self.paused_until_s[name] = SYSTEM_CLOCK.monotonic_s() + ms / 1000
        return f"{name} holds back {what} for {ms} ms"

    def _password(self) -> Scar | None:
        name = self._pick(self._running())
        if name is None:
            return None
        self._care.tell(name, "CONFIG", "SET", "requirepass", _SECRET)

        def heal() -> str:
            node = self._lab.node(name)
            try:
                with Wire(node.host, node.port, TELL_WITHIN_S) as wire:
                    wire.call("AUTH", _SECRET)  # refused after a restart, which forgets the password
                    wire.call("CONFIG", "SET", "requirepass", "")
            except Mute as error:
                raise NotNow(str(error)) from error
            return "it takes everybody"

        return Scar("password", f"{name} wants a password", (name,), heal)

    def _set(self, names: Iterable[str], option: str, value: str, back: str) -> Scar | None:
        name = self._pick(names)
        if name is None:
            return None
        self._care.tell(name, "CONFIG", "SET", option, value)

        def heal() -> str:
            self._care.tell(name, "CONFIG", "SET", option, back)
            return f"{option} {back}"

        return Scar(option, f"{name} {option} {value}", (name,), heal)

    # ---- slots and members

    def _open_slot(self) -> Scar:
        slot, side = self._rng.choice(self._slots), self._rng.choice(tuple(Side))
        done = self._lab.open_slot(slot, side=side)
        return Scar("open-slot", f"open-slot {slot}: {done.effect}", (), lambda: self._care.close(slot))

    def _delslots(self) -> Scar | None:
        slot = self._rng.choice(self._slots)
        name = self._pick(self._by_role("master"))
        if name is None:
            return None
        self._care.tell(name, "CLUSTER", "DELSLOTS", slot)
        return Scar("delslots", f"{name} deletes slot {slot}", (name,), lambda: self._care.assign(slot))

    def _wrong_owner(self) -> Scar | None:
        """One primary comes to believe that another owns a slot."""
        slot = self._rng.choice(self._slots)
        masters = self._by_role("master")
        name = self._pick(masters)
        other = self._pick(each for each in masters if each != name)
        if name is None or other is None:
            return None
        self._care.tell(name, "CLUSTER", "SETSLOT", slot, "NODE", self._lab.node(other).node_id)
        text = f"{name} gives slot {slot} to {other} in its own table"
        return Scar("wrong-owner", text, (name,), lambda: self._care.assign(slot))

    def _failover(self) -> str | None:
        name = self._pick(self._by_role("slave"))
        if name is None:
            return None
        how = self._rng.choice(("", "FORCE", "TAKEOVER"))
        self._care.tell(name, "CLUSTER", "FAILOVER", *([how] if how else []))
        if not how:
            # Its primary holds writes back meanwhile, for twice the 5 s that an attempt may take.
            self.paused_until_s[name] = SYSTEM_CLOCK.monotonic_s() + 10
        return f"failover {how or 'graceful'} to {name}"

    def _forget(self) -> Scar | None:
        name = self._pick(self._running())
        on = self._pick(each for each in self._running() if each != name)
        if name is None or on is None:
            return None
        done = self._lab.forget(name, on=on)
        self._banned_until_s = SYSTEM_CLOCK.monotonic_s() + FORGET_BAN_S
        return Scar("forget", f"forget {name} on {on}: {done.effect}", (), lambda: self._end_of_ban(name))

    def _end_of_ban(self, name: str) -> str:
        if SYSTEM_CLOCK.monotonic_s() < self._banned_until_s:
            raise NotNow("it is still banned")
        if any(name not in word.lines for word in self._care.words()):
            return self._care.introduce(name)
        return "everybody knows it"

    # ---- choosing

    def _running(self) -> list[str]:
        return [word.name for word in self._care.words()]

    def _by_role(self, role: str) -> list[str]:
        return [word.name for word in self._care.words() if word.role == role]

    def _pick(self, names: Iterable[str]) -> str | None:
        found = sorted(names)
        return self._rng.choice(found) if found else None

"""Settings of single nodes that were changed while they run, and are gone with the next restart."""

from __future__ import annotations

from dataclasses import replace

from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab.damage import Altered
from rcfail.practice.lab.faults import Broken, broken, command, opened
from rcfail.practice.lab.register import LabEntry, NodeEntry, Register
from rcfail.practice.lab.talk import Talk, talk_to
from rcfail.practice.lab.wish import OWNED_OPTIONS
from rcfail.wire.refusals import Refusal as Refused

# With another password the lab could not talk to its node any more; and no value of these is to be kept or printed.
_SECRET = frozenset({"aclfile", "masterauth", "masteruser", "primaryauth", "primaryuser", "requirepass"})


def alter(register: Register, name: str, word: str, option: str, value: str) -> Broken:
    """Give one setting of one node another value, with CONFIG SET. Raises UsageFault, or LabFault where it says no."""
    option = option.lower()
    if option in OWNED_OPTIONS | _SECRET or option.startswith("tls-"):
        raise UsageFault(f"the lab needs {option} as it is", "Choose another setting.")
    with opened(register, name) as entry:
        node, talk = entry.find(word), talk_to(entry)
        stop = next((each for each in entry.write_stops if each.node == node.name), None)
        if stop is not None and option in dict(stop.before):
            hint = f"Mend it first: {command(entry, f'mend {node.name}')}."
            raise UsageFault(f"{option} of {node.name} is what makes it refuse writes", hint)
        before = setting(node, talk, option)
        # Entered first, so that it can be mended whatever happens. The first value is the one to go back to.
        if not any((each.node, each.option) == (node.name, option) for each in entry.altered):
            register.write(replace(entry, altered=(*entry.altered, Altered(node.name, option, before))))
        try:
            talk.tell(node, "CONFIG", "SET", option, value)
        except LabFault:
            if setting(node, talk, option) == before:
                register.write(entry)
            raise
        now = setting(node, talk, option)
        return broken(entry, "config", node, f"{option} is {_shown(now)}, and was {_shown(before)}", "mend")


def restore(entry: LabEntry, node: NodeEntry) -> LabEntry:
    """Give a node its settings back, and return the entry without them. Raises LabFault where it cannot be told."""
    talk = talk_to(entry)
    for each in reversed(entry.altered):
        if each.node == node.name:
            talk.tell(node, "CONFIG", "SET", each.option, each.before)
    return without_altered(entry, node)


def without_altered(entry: LabEntry, node: NodeEntry) -> LabEntry:
    """The entry after a restart of the node, which brings all its settings back."""
    return replace(entry, altered=tuple(each for each in entry.altered if each.node != node.name))


def setting(node: NodeEntry, talk: Talk, option: str) -> str:
    """The value of one setting as the node tells it. Raises LabFault."""
    (reply,) = talk.ask(node, ("CONFIG", "GET", option))
    if isinstance(reply, tuple) and len(reply) == 2 and isinstance(reply[1], str):
        return reply[1]
    why = "it has no such setting" if reply == () else reply.text if isinstance(reply, Refused) else str(reply)
    raise LabFault(f"{node.name} ({node.endpoint}) does not tell its {option}: {why}", "Look: rcfail lab status.")


def _shown(value: str) -> str:
    return value or "empty"

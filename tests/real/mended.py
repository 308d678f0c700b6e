"""What a recovery may not touch, and what it must leave: changing commands that servers counted, and every key."""

from __future__ import annotations

import shlex

from rcfail.practice.lab.register import NodeEntry
from rcfail.wire.refusals import Refusal
from tests.real.hints import run_hint
from tests.real.operators import Answer, Operator
from tests.real.servers import RunningLab

_CHANGING = ("replicate", "meet", "forget", "setslot", "reset", "failover", "addslots", "delslots", "flushslots", "set")
FILLED = 40


def fill(lab: RunningLab, node: NodeEntry | str, keys: int = FILLED, size: int = 10) -> None:
    """Write keys into a slot of this primary, and wait until its replicas that have a link hold them."""
    first, last = lab.view(node).by_id[lab.node(node).node_id].slots[0]
    words = map(str, range(10_000))
    tag = next(word for word in words if first <= int(str(lab.ask(node, "CLUSTER", "KEYSLOT", word))) <= last)
    script = "for i=1,ARGV[1] do redis.call('SET', KEYS[1]..i, string.rep('x', ARGV[2])) end"
    lab.say(node, "EVAL", script, 1, "{" + tag + "}", keys, size)


def keys_on(lab: RunningLab, node: NodeEntry | str) -> int:
    """How many of the keys that `fill` writes a node holds; the lock of a run that was killed is none of them."""
    found = lab.ask(node, "KEYS", "{[0-9]*}[0-9]*")
    assert isinstance(found, tuple), found
    return len(found)


def changes(lab: RunningLab) -> dict[str, int]:
    """How often each living node was told to change something, by its own count. Redis 6.2 counts no sub-commands: of
    it only CONFIG and CLUSTER as a whole are there, so its tables are compared too."""
    found: dict[str, int] = {}
    for node in lab.nodes:
        stats = lab.ask(node, "INFO", "commandstats")
        for line in [] if isinstance(stats, Refusal) else str(stats).splitlines():
            name, _, figures = line.partition(":")
            if name.startswith(("cmdstat_cluster|", "cmdstat_config|")) and name.partition("|")[2] in _CHANGING:
                fields = dict(pair.split("=") for pair in figures.split(","))
                count = int(fields["calls"]) + int(fields.get("rejected_calls", 0))
                found[f"{node.name} {name}"] = count
    return found


def standing(lab: RunningLab) -> list[object]:
    """Who follows whom with how many keys, as each living node says it itself."""
    rows: list[object] = []
    for node in lab.nodes:
        sight = lab.see(node)
        if sight.nodes is not None:
            own = sight.nodes.table.by_id[lab.node(node).node_id]
            rows.append((node.name, own.role, own.primary_id, own.slots, own.config_epoch, keys_on(lab, node)))
    return rows


def planned(operator: Operator, *words: str) -> Answer:
    """`recover --dry-run`: nothing is changed, by the servers' own word."""
    before = changes(operator.lab), standing(operator.lab)
    answer = operator.ask("recover", *words, "--dry-run")
    assert (changes(operator.lab), standing(operator.lab)) == before
    return answer


def codes(answer: Answer) -> list[str]:
    return [each["condition"] for each in answer.data["conditions"]]


def steps(answer: Answer) -> list[str]:
    """The kinds of the planned steps, in order."""
    plan = answer.data["plan"]
    return [each["kind"] for each in plan["steps"]] if plan else []


def nothing_left(operator: Operator, *words: str) -> None:
    """A second run has nothing to do, and sends nothing."""
    before = changes(operator.lab)
    answer = operator.ask("recover", *words, "--yes")
    assert (answer.code, codes(answer)) == (0, []), answer.document
    assert changes(operator.lab) == before


def follow_advice(advice: str) -> list[str]:
    """Run each redis-cli command that an advice names; what they print."""
    starts = [at for at in range(len(advice)) if advice.startswith("redis-cli", at)]
    ends = (" and redis-cli", ", then", ". ", ";")
    found = []
    for at in starts:
        rest = advice[at:]
        cut = min([rest.index(end) for end in ends if end in rest] or [len(rest)])
        assert shlex.split(rest[:cut])
        found.append(run_hint(rest[:cut]))
    return found

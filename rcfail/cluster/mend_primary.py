"""The lines of primaries that a nodes.conf has lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rcfail.cluster.lint_line import ConfLine
from rcfail.cluster.lint_nodes import shard_of
from rcfail.cluster.nouns import Belief, NodeId, Role

_WHOLE_PLACE = re.compile(r"[^ ,]+:[0-9]+@[0-9]+(?=[ ,])")


def lines_for_primaries(kept: Sequence[Belief], lines: Iterable[ConfLine]) -> tuple[str, ...]:
    """A line for each primary that a kept replica follows and of which no kept line tells, as far as one can be made.

    Without one a server makes a node of that id without a role, and Valkey 9.1 ends when that one answers, by the
    assertion nodeIsPrimary(sender) (cluster_legacy.c). A line that was cut short may still say the address.
    """
    known = {each.node_id for each in kept}
    lost: dict[NodeId, str] = {}
    for each in kept:
        if each.role is Role.REPLICA and each.primary_id is not None and each.primary_id not in known:
            lost[each.primary_id] = lost.get(each.primary_id) or shard_of(each)
    all_lines = tuple(lines)
    made = (_line(primary, shard, all_lines) for primary, shard in lost.items())
    return tuple(each for each in made if each)


def _line(primary: NodeId, shard: str, lines: tuple[ConfLine, ...]) -> str:
    start = f"{primary} "
    found = (_WHOLE_PLACE.match(each.raw, len(start)) for each in lines if each.raw.startswith(start))
    place = next((each[0] for each in found if each), "")
    if not place and not shard:
        return ""
    aux = f",,tls-port=0,shard-id={shard}" if shard else ""
    return f"{primary} {place or ':0@0'}{aux} {'master' if place else 'master,noaddr'} - 0 0 0 disconnected"

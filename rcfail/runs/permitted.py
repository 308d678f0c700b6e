"""Whether every node lets this user send what a plan would send it: found before the first change, not half way.

A server looks at the ACL before it looks at the words behind a command (processCommand, server.c). So the same command
with words that it refuses always is answered by NOPERM where the user lacks it, and by another error where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.recover.action import Send
from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint, NodeId
from rcfail.health.wording import listing
from rcfail.wire.door import Door
from rcfail.wire.pool import Pool
from rcfail.wire.refusals import Refusal, RefusalKind

NODES_AT_ONCE = 32

_CODE = "permitted"


def permitted(door: Door, sends: Iterable[Send], deadline: Deadline, *, dry: bool) -> Check:
    """Asked of every node that anything goes to, all at once.

    `dry`: nothing but ACL DRYRUN is asked, which Redis knows from 7.0 on and a user may need a right for; where it is
    not answered that is said, and the run itself finds it out.
    """
    wanted: dict[tuple[NodeId, Endpoint], dict[str, tuple[str, ...]]] = {}
    for each in sends:
        wanted.setdefault((each.node, each.place), {}).setdefault(_verb(each.command), each.command)
    if not wanted:
        return Check(_CODE, CheckVerdict.PASS, "nothing is sent, so nothing has to be permitted")
    pool: Pool[tuple[list[str], list[str]]] = Pool(NODES_AT_ONCE)
    for (node, place), commands in wanted.items():
        pool.submit(partial(_dry if dry else _tried, door.apart(), node, place, tuple(commands.values()), deadline))
    no, untold, heard = list[str](), list[str](), 0
    while pool.open_jobs and (ended := pool.next_ended(deadline)) is not None:
        no, untold, heard = [*no, *ended[0]], [*untold, *ended[1]], heard + 1
    pool.close()
    if heard < len(wanted):
        untold.append(f"{len(wanted) - heard} of {len(wanted)} nodes did not answer in time")
    return _check(no, untold, len(wanted), dry)


def _check(no: list[str], untold: list[str], nodes: int, dry: bool) -> Check:
    if no:
        hint = "See what a user needs, and give it on each node named: rcfail acl --operate"
        return Check(_CODE, CheckVerdict.FAIL, f"not permitted: {listing(no, 6)}", hint=hint)
    if untold and dry:
        text = f"what the user may do is not told without trying: {listing(untold)}; the run itself asks first"
        return Check(_CODE, CheckVerdict.WARN, text)
    if untold:
        return Check(_CODE, CheckVerdict.UNKNOWN, f"what the user may do cannot be told: {listing(untold)}")
    return Check(
        _CODE,
        CheckVerdict.PASS,
        f"this user may send all of it to all {nodes} nodes" if nodes > 1 else "this user may send all of it",
    )


def _verb(command: tuple[str, ...]) -> str:
    return " ".join(command[:2]).upper()


def _tried(
    door: Door, node: NodeId, place: Endpoint, commands: tuple[tuple[str, ...], ...], deadline: Deadline
) -> tuple[list[str], list[str]]:
    """What is not permitted, and what cannot be told, as clauses."""
    asked = [("CLUSTER", "MYID"), *(_harmless(node, each) for each in commands)]
    replies = door.read(place, asked, deadline=deadline)
    if isinstance(replies[0], Refusal) and replies[0].kind is not RefusalKind.NOT_PERMITTED:
        return [], [f"{place}: {replies[0].text or replies[0].kind.value}"]
    told = zip(("CLUSTER MYID", *map(_verb, commands)), replies, strict=True)
    return [f"{verb} at {place}" for verb, reply in told if _denied(reply)], []


def _denied(reply: object) -> bool:
    return isinstance(reply, Refusal) and reply.kind is RefusalKind.NOT_PERMITTED


def _harmless(node: NodeId, command: tuple[str, ...]) -> tuple[str, ...]:
    """The same command with words that every version refuses, whatever the state of the node (clusterCommand,
    cluster.c and cluster_legacy.c): nobody forgets or follows itself, no slot has a negative number."""
    match command[1].upper():
        case "FORGET" | "REPLICATE" as verb:
            return ("CLUSTER", verb, node)
        case "MEET":
            return ("CLUSTER", "MEET", "nowhere", "0")
        case "SETSLOT":
            return ("CLUSTER", "SETSLOT", "-1", "STABLE")
        case "ADDSLOTS" | "DELSLOTS" as verb:
            return ("CLUSTER", verb, "-1")
        case "ADDSLOTSRANGE" | "DELSLOTSRANGE" as verb:
            return ("CLUSTER", verb, "-1", "-1")
        case verb:
            return ("CLUSTER", verb, "none-of-these")


def _dry(
    door: Door, _: NodeId, place: Endpoint, commands: tuple[tuple[str, ...], ...], deadline: Deadline
) -> tuple[list[str], list[str]]:
    user = door.credentials.username or "default"
    replies = door.read(place, [("ACL", "DRYRUN", user, *each) for each in commands], deadline=deadline)
    no = [f"{verb} at {place}" for verb, reply in _told(commands, replies) if _says_no(reply)]
    untold = [] if all(reply == "OK" or _says_no(reply) for reply in replies) else [str(place)]
    return no, untold


def _told(commands: tuple[tuple[str, ...], ...], replies: tuple[object, ...]) -> Iterator[tuple[str, object]]:
    return zip(map(_verb, commands), replies, strict=True)


def _says_no(reply: object) -> bool:
    """ACL DRYRUN answers with a text and not with an error (aclCommand, acl.c)."""
    return isinstance(reply, str) and "has no permissions to run" in reply

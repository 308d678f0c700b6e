"""A replica that lives and gets no data although its primary is there: why, and what brings its link back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rcfail.change.recover.action import Action, ActionKind, Send
from rcfail.change.recover.case import Case, Question
from rcfail.change.recover.condition import Condition, ConditionCode
from rcfail.change.recover.expect import Answers, Follows, InSync, Serves
from rcfail.change.recover.replicas.asked import questions_about, role_state
from rcfail.change.recover.replicas.causes import Cause, Kind, causes
from rcfail.change.recover.replicas.copying import (
    Copied,
    NotEmptied,
    came_back_empty,
    continues,
    copies,
    keys_of,
    losing,
    progress,
    stream_of,
    within_ms,
)
from rcfail.change.recover.replicas.refused_logins import counted_refusals
from rcfail.cluster.candidacy import never_linked
from rcfail.cluster.nouns import Endpoint, NodeId, Role
from rcfail.cluster.snapshot import Node, Snapshot
from rcfail.cluster.sync import Sync, sync_of
from rcfail.health.rules.copies import living_replicas
from rcfail.health.wording import answering, called, counted, duration, listing, rcfail, redis_cli

_CODES = {
    Sync.LINK_DOWN: "replica-link-down",
    Sync.NEVER_SYNCED: "replica-never-synced",
    Sync.SYNCING: "replica-syncing",
    Sync.LOADING: "node-loading",
}


def questions(case: Case) -> Iterable[Question]:
    """Only about links that are down, and only of their two ends."""
    for node, primary in _broken(case.snapshot):
        yield from questions_about(node, primary)


def conditions(case: Case, taken: frozenset[NodeId]) -> Iterator[Condition]:
    """One for each replica without its link whose primary answers; one whose primary is dead or silent is not meant."""
    for node, primary in _broken(case.snapshot):
        if node.node_id not in taken:
            yield _condition(case, node, primary)


def _broken(snapshot: Snapshot) -> Iterator[tuple[Node, Node]]:
    for node in living_replicas(snapshot):
        primary = snapshot.node(node.primary_id)
        if primary is None or primary.view is None or primary.role is not Role.PRIMARY:
            continue
        if sync_of(snapshot, node) in _CODES:
            yield node, primary


def _condition(case: Case, node: Node, primary: Node) -> Condition:
    snapshot, sync = case.snapshot, sync_of(case.snapshot, node)
    first = never_linked(stream_of(node)) and not keys_of(node)
    found = Condition(
        ConditionCode.NEVER_SYNCED if first else ConditionCode.LINK_DOWN,
        (node.node_id, primary.node_id),
        called(node),
        "",
        "",
        findings=(_CODES[sync],),
    )
    if came_back_empty(node, primary):
        return _came_back_empty(snapshot, found, node, primary)
    why = causes(case, node, primary)
    if primary.vitals is not None and primary.vitals.storage.loading:
        return _waited(case, found, node, primary, f"its primary {called(primary)} still loads its data")
    if sync in (Sync.SYNCING, Sync.LOADING) and not _fails_again(why):
        return _waited(case, found, node, primary, progress(snapshot, node))
    return _explained(case, found, node, primary, why)


def _fails_again(why: tuple[Cause, ...]) -> bool:
    """A copy is under way, and the last ones did not get through either."""
    return any(each.kind is Kind.COPY for each in why)


def _since(node: Node) -> str:
    since = stream_of(node).link_down_since_s
    if since in (None, -1):
        return "since its process was started"
    return f"for {since} s" if (since or 0) < 120 else f"for {duration(1000 * (since or 0))}"


def _waited(case: Case, found: Condition, node: Node, primary: Node, how: str) -> Condition:
    """It comes by itself: nothing is sent, and the run follows it."""
    action = Action(
        ActionKind.WAIT,
        node.node_id,
        f"wait until {called(node)} has all data of {called(primary)}",
        (Copied(node.node_id),),
        aims=(primary.node_id,),
        within_ms=max(within_ms(primary), round(1000 * case.decisions.within_s)),
    )
    evidence = how if how.startswith("its") else f"{called(node)} {how} from {called(primary)}"
    story = "A copy is on its way, so nothing has to be sent: it is followed to its end."
    if not how.startswith("has") and not how.startswith("waits"):
        story = "It reads its data first and links after that, so nothing has to be sent: it is followed to its end."
    return replace(found, evidence=evidence, story=story, actions=(action,))


def _explained(case: Case, found: Condition, node: Node, primary: Node, why: tuple[Cause, ...]) -> Condition:
    seen = f"{called(node)} has no link to its primary {called(primary)} {_since(node)}"
    shown = "; ".join((seen, *(each.seen for each in why)))
    if {each.kind for each in why} - {Kind.BACKLOG} == {Kind.ADDRESS}:
        return _relinked(case.snapshot, found, node, primary, shown)
    held = keys_of(node)
    data = "It holds no data" if held == 0 else f"Its {counted(held, 'key')} grow old" if held else "Its data grows old"
    data += _at_stake(case.snapshot, node, primary)
    if not why:
        story = f"{data}. Why the link is down cannot be seen from outside; no command of the cluster mends it."
        return replace(found, evidence=shown + _told(case, node, primary), story=story, advice=_look(case, found, node))
    story = f"{data}. No command of the cluster mends this: it takes a setting, or the network."
    remedies = " ".join(f"{each.remedy.removesuffix('.')}." for each in why if each.remedy)
    return replace(found, evidence=shown, story=story, advice=f"{remedies} {_after(case, found)}")


def _at_stake(snapshot: Snapshot, node: Node, primary: Node) -> str:
    """Whatever mends the link throws away what the primary's stream does not have; "" where it has all of it."""
    theirs = keys_of(primary)
    if not keys_of(node) or continues(primary, node) or copies(snapshot, node):
        return ""
    held = "an unknown number of keys" if theirs is None else counted(theirs, "key")
    save = redis_cli(node.endpoint, "BGSAVE")
    return (
        f". Its primary holds {held}, and nothing shows that its own are among them: with the link comes a full copy "
        f"in their place. If they may be what is wanted, save them first ({save}), and when INFO says "
        "rdb_bgsave_in_progress:0 take that file elsewhere, for the copy may be written over it"
    )


def _told(case: Case, node: Node, primary: Node) -> str:
    """What little is known besides."""
    refused, state = counted_refusals(case, primary), role_state(case, node)
    parts = [f"ROLE says {state}"] if state else []
    parts += [f"its primary counted {refused} since its start, whoever was refused"] if refused else []
    return f"; {listing(parts)}" if parts else ""


def _look(case: Case, found: Condition, node: Node) -> str:
    said = stream_of(node)
    reach = redis_cli(Endpoint(said.primary_host or "PRIMARY_HOST", said.primary_port or 0), "PING")
    there = redis_cli(node.endpoint, "CONFIG", "GET", "logfile")
    return (
        f"Its log names the reason once a second; where that is: {there}. Then see whether it reaches its primary: on "
        f"its host, {reach}. {_after(case, found)}"
    )


def _after(case: Case, found: Condition) -> str:
    """What shows that it helped."""
    wait = rcfail("health", answering(case.snapshot), "--wait", "60s")
    return f"Then {listing(found.findings)} goes away within seconds, or after a full copy: {wait}"


def _relinked(snapshot: Snapshot, found: Condition, node: Node, primary: Node, shown: str) -> Condition:
    """Its own table has the right address, so the order to follow makes it dial that one. Its data stays, where the
    backlog allows it; else it takes the full copy that it would take anyway."""
    aim = primary.node_id
    if node.endpoint is None:
        return found
    action = Action(
        ActionKind.REPLICATE,
        node.node_id,
        f"let {called(node)} follow {called(primary)} again, at its address of now",
        (Follows(node.node_id, aim), InSync(node.node_id)),
        (Send(node.node_id, node.endpoint, ("CLUSTER", "REPLICATE", aim)),),
        (aim,),
        (Answers(node.node_id, node.endpoint), Serves(aim), NotEmptied(node.node_id, aim)),
        within_ms(primary),
        () if continues(primary, node) else losing(snapshot, node),
    )
    story = (
        "Its own table has the new address of its primary, and its link goes to the old one: it is told to dial anew."
    )
    return replace(found, evidence=shown, story=story, actions=(action,))


def _came_back_empty(snapshot: Snapshot, found: Condition, node: Node, primary: Node) -> Condition:
    """The link that is down protects the data: whatever brings it up makes the replica as empty as its primary."""
    keys, others = keys_of(node) or 0, copies(snapshot, node)
    evidence = (
        f"{called(node)} holds {counted(keys, 'key')} and has no link {_since(node)}; its primary {called(primary)} "
        "holds none, and its stream is a new one"
    )
    story = (
        "The primary was started without its data, or was emptied. When the link comes up the replica takes a copy of "
        f"nothing{'' if others else ', and what it holds is held nowhere else'}. So nothing is done to its link."
    )
    rescue = rcfail("failover", answering(snapshot), node.node_id, "--force", "--dry-run")
    advice = (
        f"If the data of the replica is what is wanted, see its promotion: {rescue}. If the empty primary is right, "
        f"mend the link; what health says of it: {rcfail('health', answering(snapshot))}"
    )
    return replace(found, evidence=evidence, story=story, advice=advice, choice=True)

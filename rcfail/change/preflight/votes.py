"""Whether the voters would elect the target, whether they know it, and who is lost where they cannot."""

from __future__ import annotations

from dataclasses import replace

from rcfail.change.checks import Check, CheckVerdict
from rcfail.change.preflight.case import Case, passed, places, warned
from rcfail.change.request import Mode, Override
from rcfail.cluster.ballot import Vote, ballot, lists
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Node
from rcfail.health.wording import called, counted

_VOTES, _KNOWN, _FENCED = "votes", "known-as-replica", "fenced"

_WHY = {
    Vote.DEAD: "down",
    Vote.APART: "out of hearing",
    Vote.LOADING: "loading",
    Vote.NOT_LISTING: "not knowing it as a replica of this primary",
    Vote.NEWER_EPOCH: "knowing a newer owner of its slots",
    Vote.UNSEEN: "silent to us or to it",
}
_PASSES_BY_ITSELF = (Vote.GIVEN, Vote.LOADING, Vote.NOT_LISTING)


def votes(case: Case) -> Check:
    """An election needs a majority of all voters. A takeover needs none, so it is not for where there is one."""
    return _without_an_election(case) if case.mode is Mode.TAKEOVER else _with_an_election(case)


def _with_an_election(case: Case) -> Check:
    found, text = case.ballot, _count(case)
    if found.elects is Known.YES:
        return passed(_VOTES, text)
    if found.majority is Known.NO and case.snapshot.electorate.quorum is Known.YES:
        hint = f"A majority stands without the target. Who hears whom: {case.rcfail('views')}"
        return case.check(_VOTES, CheckVerdict.FAIL, text, hint=hint)
    if found.majority is Known.NO:
        if case.graceful:
            return case.check(_VOTES, CheckVerdict.FAIL, text, hint=_only_takeover(case))
        return case.check(_VOTES, CheckVerdict.FAIL, f"{text}: only takeover can work", hint=_only_takeover(case))
    if found.elects is Known.UNKNOWN:
        return case.check(_VOTES, CheckVerdict.UNKNOWN, text)
    known = found.of(Vote.GIVEN, Vote.NOT_LISTING)
    if case.graceful and len(known) >= found.needed:
        # The others hear of it from gossip: known-as-replica tells that, and is waited for.
        return passed(_VOTES, f"{text}; they vote as soon as they know it")
    hint = "Wait some seconds, and try again." if len(found.of(*_PASSES_BY_ITSELF)) >= found.needed else ""
    return case.check(_VOTES, CheckVerdict.FAIL, text, hint=hint)


def _count(case: Case) -> str:
    """`1 of 3 voters would vote for it now and 2 are needed (down: 10.0.0.5:6379 and 10.0.0.6:6379)`."""
    found = case.ballot
    given = len(found.of(Vote.GIVEN))
    text = f"{given} of {counted(len(found.votes), 'voter')} would vote for it, and {found.needed} "
    text += "is needed" if found.needed == 1 else "are needed"
    others = [f"{why}: {places(case.snapshot, ids)}" for vote, why in _WHY.items() if (ids := found.of(vote))]
    return f"{text} ({'; '.join(others)})" if others else text


def _only_takeover(case: Case) -> str:
    """What has to be confirmed for it is for `fenced` to ask: a line to paste would be an answer without a thought."""
    return f"Without a majority only a takeover can work. What it asks for: {case.command(Mode.TAKEOVER, '--dry-run')}"


def _fencing(case: Case, ids: tuple[NodeId, ...]) -> tuple[str, ...]:
    nodes = case.snapshot.nodes
    named = (str(nodes[each].endpoint or each) for each in nodes if each in ids)
    return tuple(word for each in named for word in ("--confirm-fenced", each))


def _without_an_election(case: Case) -> Check:
    found, text = case.ballot, _count(case)
    if found.majority is Known.NO:
        return passed(_VOTES, f"no majority could elect it: {text}")
    if found.majority is Known.UNKNOWN:
        text = f"it cannot be told whether a majority could elect it: {text}"
        return case.check(_VOTES, CheckVerdict.UNKNOWN, text, Override.TAKEOVER_WITH_QUORUM)
    mode = Mode.FORCE if case.primary_dead else Mode.GRACEFUL
    hint = f"Let them vote: {case.command(mode)}"
    if found.elects is Known.YES:
        text = f"a majority can elect it, so a takeover is not needed: {text}"
        return case.check(_VOTES, CheckVerdict.FAIL, text, Override.TAKEOVER_WITH_QUORUM, hint)
    if len(found.of(*_PASSES_BY_ITSELF, Vote.UNSEEN)) >= found.needed:
        text = f"a majority stands, and will be able to elect it after a wait: {text}"
        return case.check(_VOTES, CheckVerdict.FAIL, text, Override.TAKEOVER_WITH_QUORUM, hint)
    return warned(_VOTES, f"a majority stands, and would not elect it: {text}")


def known_as_replica(case: Case) -> Check:
    """The primary obeys its replicas only, and voters vote for replicas only. A demotion is spread by gossip: on Redis
    that takes up to 11 s, and the server says OK meanwhile and does nothing.
    """
    target, primary = case.target, case.primary
    voters = case.snapshot.electorate.voters
    views = case.snapshot.by_observer
    listing = [each for each in voters if each in views and lists(views[each].belief(target.node_id), primary.node_id)]
    # Who lists it and would refuse it for another reason is no help where others do not list it yet.
    given, unaware = case.ballot.of(Vote.GIVEN), case.ballot.of(Vote.NOT_LISTING)
    knowing = given if case.graceful and unaware else tuple(listing)
    unseen = case.ballot.of(Vote.UNSEEN)
    silent = [each for each in voters if each not in views or views[each].reply is None or each in unseen]
    needed = case.ballot.needed
    text = f"{len(listing)} of {counted(len(voters), 'voter')} list it as a replica of {called(primary)}"
    text += f", and {len(given)} would vote for it" if knowing is given and len(given) < len(listing) else ""
    own = primary.view if primary.view is not None and primary.view.reply is not None else None
    mine = own is not None and lists(own.belief(target.node_id), primary.node_id)
    if (mine or case.mode is Mode.TAKEOVER) and len(knowing) >= needed:
        return passed(_KNOWN, text)
    if own is not None and not mine:
        text = f"{called(primary)} has not heard yet that it is its replica, and would not obey it"
    hint = f"A demotion is known to all within some 15 s. Wait for it: {case.rcfail('wait', 'settled')}"
    if case.mode is Mode.TAKEOVER:
        return warned(_KNOWN, text)
    sure = (mine or own is None) and len(knowing) + len(silent) >= needed
    said = case.check(_KNOWN, CheckVerdict.UNKNOWN if sure else CheckVerdict.FAIL, text, hint="" if sure else hint)
    return replace(said, passes_soon=True)


def fenced(case: Case) -> Check:
    """Where no majority stands, the lost voters may live beyond a cut and go on serving: a human has to say no."""
    seen = ballot(case.snapshot, case.target.node_id, case.primary.node_id)
    if seen.majority is Known.YES:
        return passed(_FENCED, "a majority of the voters stands on the target's side: nobody else can be elected")
    open_ones = _unconfirmed(case)
    lost = places(case.snapshot, seen.lost)
    if not seen.lost:
        return passed(_FENCED, "no voter is lost")
    answering = [each for each in seen.lost if case.snapshot.nodes[each].view is not None]
    serving = tuple(each for each in answering if _serves(case.snapshot.nodes[each]))
    if serving:
        text = f"{places(case.snapshot, serving)} are beyond the target's hearing, answer us, and serve their slots: "
        text += "they are not stopped, and beside them a takeover would make two clusters of one"
        return case.check(_FENCED, CheckVerdict.FAIL, text, hint="Mend the network between the two sides.")
    answers = f"; {places(case.snapshot, tuple(answering))} answer us, and are not stopped" if answering else ""
    if not open_ones:
        text = f"no majority stands; a human says that all lost voters are stopped: {lost}{answers}"
        return case.check(_FENCED, CheckVerdict.FAIL, text, Override.FENCED, given=True)
    missing = places(case.snapshot, open_ones)
    text = f"no majority stands, and the lost voters may be serving where we cannot see it: {missing}{answers}"
    said = case.command(None, *_fencing(case, seen.lost))
    hint = f"Stop them or cut them off from their clients for certain, then say so: {said}"
    return case.check(_FENCED, CheckVerdict.FAIL, text, Override.FENCED, hint)


def _serves(node: Node) -> bool:
    return node.vitals is not None and node.vitals.cluster.state == "ok"


def _unconfirmed(case: Case) -> tuple[NodeId, ...]:
    """Lost voters of which no human says that they are stopped."""
    seen = ballot(case.snapshot, case.target.node_id, case.primary.node_id)
    return tuple(each for each in seen.lost if each not in case.request.fenced)

"""Whether enough voters would elect the target: those that it hears, that know it, and whom its claim suits."""

from __future__ import annotations

from dataclasses import dataclass

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, UNKNOWN, WARN, Grounds
from rcfail.change.request import Mode, Override
from rcfail.cluster.candidacy import refusing_epochs
from rcfail.cluster.nouns import NodeId, Role
from rcfail.cluster.snapshot import Known
from rcfail.health.wording import called, counted


@dataclass(frozen=True, slots=True)
class Votes:
    """Voters by what they would answer to the target. `perhaps` are silent to us, and the target hears them.

    `all_voters` counts dead ones too, for the majority is of all (clusterHandleSlaveFailover). `apart` are not on the
    target's side, `loading` and `offended` would refuse: the latter know a greater epoch for a slot of the shard.
    """

    all_voters: int
    needed: int
    sure: tuple[NodeId, ...]
    perhaps: tuple[NodeId, ...]
    apart: tuple[NodeId, ...]
    loading: tuple[NodeId, ...]
    offended: tuple[NodeId, ...]

    @property
    def enough(self) -> Known:
        if len(self.sure) >= self.needed:
            return Known.YES
        return Known.UNKNOWN if len(self.sure) + len(self.perhaps) >= self.needed else Known.NO


def votes_for(grounds: Grounds) -> Votes:
    """How the voters stand to the target now."""
    electorate = grounds.snapshot.electorate
    here = grounds.voters_here
    telling = tuple(each for each in here if grounds.view(each))
    loading = tuple(each for each in here if _loads(grounds, each))
    offended = _offended(grounds, [each for each in telling if each not in loading])
    sure = tuple(each for each in telling if each not in (*loading, *offended))
    return Votes(
        all_voters=len(electorate.voters),
        needed=electorate.needed,
        sure=sure,
        perhaps=tuple(each for each in here if not grounds.view(each) and each not in loading),
        apart=tuple(each for each in electorate.voters if each not in here),
        loading=loading,
        offended=offended,
    )


def _loads(grounds: Grounds, voter: NodeId) -> bool:
    view = grounds.snapshot.by_observer.get(voter)
    return view is not None and view.vitals.storage.loading is True


def _offended(grounds: Grounds, voters: list[NodeId]) -> tuple[NodeId, ...]:
    """A voter refuses a claim to slots that it knows with a greater epoch (clusterSendFailoverAuthIfNeeded)."""
    view = grounds.target.view
    claimed = view.belief(grounds.request.primary) if view else None
    if claimed is None:
        return ()
    return tuple(each for each in voters if refusing_epochs(grounds.snapshot, [each], claimed))


def votes(grounds: Grounds) -> Check:
    """A majority of all voters would vote for the target. A takeover asks nobody, and is for when they cannot."""
    found = votes_for(grounds)
    if grounds.mode is Mode.TAKEOVER:
        return _takeover(grounds, found)
    text = _text(grounds, found)
    if found.enough is Known.YES:
        return grounds.check("votes", PASS, text)
    if found.enough is Known.UNKNOWN:
        return grounds.check("votes", UNKNOWN, text, hint="See whom we do not reach: rcfail views")
    if grounds.majority is Known.NO:
        hint = (
            f"Start or reconnect a lost voter; if they are gone for good: {grounds.failover('--takeover', '--dry-run')}"
        )
        return grounds.check("votes", FAIL, f"only takeover can work: {text}", hint=hint)
    return grounds.check("votes", FAIL, text, hint="See who hears whom: rcfail views")


def _takeover(grounds: Grounds, found: Votes) -> Check:
    text = _text(grounds, found)
    if found.enough is Known.YES:
        hint = f"By a vote: {grounds.failover('--force', '--dry-run')}"
        said = f"no takeover is needed, the voters can elect it: {text}"
        return grounds.check("votes", FAIL, said, Override.TAKEOVER_WITH_QUORUM, hint)
    if found.enough is Known.UNKNOWN:
        said = f"whether voters can elect it cannot be told: {text}"
        return grounds.check("votes", UNKNOWN, said, Override.TAKEOVER_WITH_QUORUM)
    if grounds.majority is Known.NO:
        return grounds.check("votes", PASS, f"no majority can vote: {text}")
    return grounds.check("votes", WARN, f"a majority may stand together elsewhere, and not with the target: {text}")


def _text(grounds: Grounds, found: Votes) -> str:
    parts = [f"{len(found.sure)} of {counted(found.all_voters, 'voter')} would vote for it, {found.needed} must"]
    for ids, why in (
        (found.perhaps, "silent to us"),
        (found.apart, "apart from it"),
        (found.loading, "loading"),
        (found.offended, "know a greater epoch for its slots"),
    ):
        if ids:
            parts.append(f"{why}: {grounds.named(ids)}")
    return "; ".join(parts)


def known_as_replica(grounds: Grounds) -> Check | None:
    """The primary and a majority list the target as its replica: the primary ignores a request of anybody else
    (clusterProcessPacket, MFSTART), and a voter whom it knows as a primary gives no vote."""
    code = "known-as-replica"
    known = tuple(each for each in grounds.voters_here if _lists_so(grounds, each))
    needed = grounds.snapshot.electorate.needed
    unheard = tuple(each for each in grounds.voters_here if not grounds.view(each))
    text = f"{len(known)} of {counted(len(grounds.snapshot.electorate.voters), 'voter')} list it as a replica of "
    text += f"{called(grounds.primary)}; {needed} must"
    if grounds.graceful and grounds.view(grounds.request.primary) is None:
        return grounds.check(code, UNKNOWN, f"{called(grounds.primary)} does not say whether it knows its replica")
    if grounds.graceful and grounds.request.primary not in known:
        text = f"{called(grounds.primary)} does not know yet that {called(grounds.target)} is its replica"
        return grounds.check(code, FAIL, f"{text}, and would ignore the request", hint=_WAIT)
    if len(known) >= needed:
        return grounds.check(code, PASS, text)
    if grounds.mode is Mode.TAKEOVER:
        return grounds.check(code, WARN, text)
    verdict = UNKNOWN if len(known) + len(unheard) >= needed else FAIL
    return grounds.check(code, verdict, text, hint=_WAIT)


_WAIT = "They hear of it within seconds: rcfail wait settled"


def _lists_so(grounds: Grounds, voter: NodeId) -> bool:
    view = grounds.view(voter)
    said = view.belief(grounds.request.target) if view else None
    return said is not None and said.role is Role.REPLICA and said.primary_id == grounds.request.primary

"""What a round shows of a failover on its way, in the order in which it usually comes, as events and their subjects."""

from __future__ import annotations

from collections.abc import Iterator

from rcfail.change.after.verify import NOTHING, Cast, Name, Stages, Standing, Words
from rcfail.health.wording import counted

Event = tuple[str, str]


def troubles(cast: Cast, words: Words, name: Name) -> Iterator[Event]:
    """Members of the shard that spoke before the send, and are silent now."""
    for member in (cast.step.target, cast.step.primary, *cast.siblings):
        silence = words.get(member, NOTHING).silence
        if silence and not cast.before.get(member, NOTHING).silence:
            yield "silent", f"{name(member)}: {silence}"


def claim(cast: Cast, now: Stages, name: Name) -> Iterator[Event]:
    """What the target says of itself."""
    target = name(cast.step.target)
    if now.promoted:
        yield "promoted", f"{target}, in epoch {now.epoch}"
    elif now.epoch is not None:
        yield "claims", f"{target}, in epoch {now.epoch}, which is not above {cast.step.epoch}"


def following(cast: Cast, now: Stages, name: Name) -> Iterator[Event]:
    """The old primary and the other replicas on their way behind the target, and the views."""
    primary, target = name(cast.step.primary), name(cast.step.target)
    if now.demoted:
        yield "demoted", f"{primary} is a replica"
    if not now.promoted:
        return
    for member, standing in ((cast.step.primary, now.old), *now.siblings.items()):
        if standing is Standing.COPYING:
            yield "copying", f"{name(member)} takes a full copy"
    if now.old is Standing.LINKED:
        yield "linked", f"{primary} follows {target}"
    expected = [each for each in now.siblings.values() if each is not Standing.LEFT_OUT]
    if expected and all(each is Standing.LINKED for each in expected):
        yield "siblings", f"{counted(len(expected), 'other replica')} follow{'s' * (len(expected) == 1)}"
    if now.settled:
        yield "settled", f"all {counted(len(now.views), 'view')} agree"

"""Whether we may judge at all: the one who looks may be the broken one, and silence does not stop a server."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, Grounds
from rcfail.change.request import Mode, Override
from rcfail.cluster.snapshot import Known
from rcfail.health.wording import counted


def observer(grounds: Grounds) -> Check:
    """Not more than half of the nodes are silent to us and well for those that answer."""
    nodes = grounds.snapshot.nodes.values()
    hidden = tuple(each.node_id for each in nodes if each.view is None and each.alive is Known.YES)
    text = f"{counted(len(hidden), 'node')} of {len(nodes)} are silent to this host alone"
    if 2 * len(hidden) > len(nodes):
        hint = "Run it from a host that reaches them."
        return grounds.check("observer", FAIL, f"{text}: {grounds.named(hidden)}", Override.THIS_HOST, hint)
    return grounds.check("observer", PASS, text if hidden else "no node is silent to this host alone")


def fenced(grounds: Grounds) -> Check | None:
    """Without a majority nobody can know whether the lost voters serve: a human has to say that they are stopped."""
    if grounds.mode is not Mode.TAKEOVER or grounds.majority is Known.YES:
        return None
    lost = tuple(each for each in grounds.snapshot.electorate.voters if each not in grounds.voters_here)
    open_ = tuple(each for each in lost if each not in grounds.request.fenced)
    if not lost:
        return grounds.check("fenced", PASS, "no voter is lost")
    if not open_:
        return grounds.check("fenced", PASS, f"you say that they are stopped: {grounds.named(lost)}")
    words = " ".join(f"--confirm-fenced {each[:8]}" for each in open_)
    text = f"{grounds.named(open_)} may still take writes on a side that we do not see, and one of the two sides loses "
    text += "them when they meet"
    hint = f"Stop them, or cut off their client and bus ports; then: {grounds.failover('--takeover', *words.split())}"
    return Check("fenced", FAIL, text, Override.FENCED, False, hint)

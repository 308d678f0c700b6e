"""The primary that is to be replaced: whether it lives, and whether it can do its part."""

from __future__ import annotations

from rcfail.change.checks import Check
from rcfail.change.preflight.grounds import FAIL, PASS, UNKNOWN, WARN, Grounds
from rcfail.change.request import Override
from rcfail.cluster.dialect import manual_failover_timeout_ms
from rcfail.cluster.snapshot import Known
from rcfail.cluster.vitals import Server
from rcfail.health.wording import called


def primary_alive(grounds: Grounds) -> Check:
    """Graceful needs it alive; force and takeover lose what it goes on to acknowledge."""
    return _graceful(grounds) if grounds.graceful else _forced(grounds)


def _graceful(grounds: Grounds) -> Check:
    code, primary = "primary-alive", grounds.primary
    flagged = grounds.primary_flagged_by
    if primary.alive is Known.NO:
        hint = f"Without its primary: {grounds.failover('--force', '--dry-run')}"
        return grounds.check(code, FAIL, f"{called(primary)} is down, and graceful needs it", hint=hint)
    if flagged:
        text = f"{called(primary)} is suspected by {grounds.named(flagged)}: flagged as failed meanwhile, the request "
        text += "would become an election that waits for no data"
        return grounds.check(code, FAIL, text, hint="Wait until they agree: rcfail wait settled")
    if primary.alive is Known.UNKNOWN:
        return grounds.check(code, UNKNOWN, f"whether {called(primary)} lives cannot be told")
    silent = "" if primary.view else "; it is silent to us, and alive for the others"
    return grounds.check(code, PASS, f"{called(primary)} lives, and nobody beside the target suspects it{silent}")


def _forced(grounds: Grounds) -> Check:
    code, primary, allowed = "primary-alive", grounds.primary, Override.DATA_LOSS
    if grounds.primary_serves:
        text = f"{called(primary)} serves: it is not paused, so the writes that it acknowledges until then are lost"
        hint = f"Without loss: {grounds.failover('--dry-run')}"
        return grounds.check(code, FAIL, text, allowed, hint)
    if primary.alive is Known.NO:
        return grounds.check(code, PASS, f"{called(primary)} is down")
    if primary.view is None and primary.alive is Known.YES:
        text = f"{called(primary)} is silent to us and alive for the others: it is our network, and it may serve"
        return grounds.check(code, FAIL, text, allowed, "Run it from a host that reaches it.")
    if primary.view is None:
        return grounds.check(code, UNKNOWN, f"whether {called(primary)} lives cannot be told", allowed)
    vitals = primary.view.vitals
    state = (
        "is loading its data" if vitals.storage.loading else f"says that the cluster is {vitals.cluster.state or '?'}"
    )
    return grounds.check(code, WARN, f"{called(primary)} lives and does not serve: it {state}")


def primary_responsive(grounds: Grounds) -> Check | None:
    """A primary that is slow or frozen pauses its writes when it thaws, for nothing: also long after the request."""
    if not grounds.graceful:
        return None
    code, primary, pings = "primary-responsive", grounds.primary, grounds.seen.pings_ms
    vitals = primary.vitals
    timeout_ms = manual_failover_timeout_ms(vitals.server if vitals else Server(), vitals.config if vitals else None)
    limit_ms = timeout_ms / 10
    if not pings:
        text = f"{called(primary)} does not answer us, so how fast it would do its part cannot be told"
        return grounds.check(code, UNKNOWN, text, Override.WRITE_PAUSE)
    missed = sum(1 for each in pings if each is None)
    if missed:
        text = f"{called(primary)} did not answer {missed} of {len(pings)} PINGs: frozen, it would pause writes for "
        text += f"{timeout_ms / 1000:.0f} s when it thaws"
        hint = f"If it stays so, without it: {grounds.failover('--force', '--dry-run')}"
        return grounds.check(code, FAIL, text, Override.WRITE_PAUSE, hint)
    worst_ms = max(each for each in pings if each is not None)
    text = f"{called(primary)} answered {len(pings)} PINGs, the slowest in {worst_ms:.1f} ms"
    text += f"; the limit is {limit_ms:.0f} ms"
    if worst_ms >= limit_ms:
        return grounds.check(code, FAIL, text, Override.WRITE_PAUSE, "Wait until it is less busy, and try again.")
    return grounds.check(code, PASS, text)

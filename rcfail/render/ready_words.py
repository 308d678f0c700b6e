"""What the readiness of a shard says in sentences: its cause, the next command, each mode, and a crash."""

from __future__ import annotations

from collections.abc import Iterable

from rcfail.change.candidates import Contender
from rcfail.change.checks import Check, CheckVerdict, refusing
from rcfail.change.readiness import Answer, ModeReady, Readiness, ShardReady
from rcfail.change.request import Mode
from rcfail.cluster.electorate import majority_beyond
from rcfail.cluster.forecast import Fate, Stop
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.observation import SilenceReason
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.verdict import Verdict
from rcfail.health.wording import answering, called, counted, duration, listing, named, rcfail, size, slots_text
from rcfail.render.whatif_words import between, fate_text

FLAGS = {Mode.GRACEFUL: (), Mode.FORCE: ("--force",), Mode.TAKEOVER: ("--takeover",)}


def headline(ready: Readiness) -> str:
    """All of it in one sentence."""
    of_all = "" if len(ready.shards) == ready.total else f"of {ready.total} "
    count = counted(len(ready.shards), "shard")
    bad = not_ready(ready)
    if not ready.total:
        return "no primary owns slots"
    if ready.quorum is Known.NO:
        votes = ready.snapshot.electorate
        stand = f"{len(votes.side)} of {counted(len(votes.voters), 'voter')} stand together, {votes.needed} are needed"
        if dark := maybe_beyond(ready.snapshot):
            return f"no majority on the side that we see: {stand}; {named(ready.snapshot, dark)} may serve beyond a cut"
        return f"no majority: {stand}; only takeovers can work"
    if not bad:
        text = f"{_all(len(ready.shards), of_all)} ready: a graceful failover works now, and a crash is survived"
        if ready.verdict is Verdict.OK:
            return text
        return f"{_elsewhere(ready)}; {text}"
    lead = f"{len(bad)} of {count} {'is' if len(bad) == 1 else 'are'} not ready"
    worst = "" if len(bad) == 1 else "the worst: "
    return f"{lead}; {worst}{shard_name(ready.snapshot, bad[0])}: {cause(ready.snapshot, bad[0])}"


def maybe_beyond(snapshot: Snapshot) -> tuple[NodeId, ...]:
    """Voters that would be a majority, if they live where we do not see them. A host that refuses connections says that
    nobody is there; a cut says nothing."""
    silences = ((each, snapshot.nodes[each].silence) for each in majority_beyond(snapshot))
    return tuple(each for each, said in silences if said is None or said.reason is not SilenceReason.REFUSED)


def not_ready(ready: Readiness) -> list[ShardReady]:
    """The worst first; of equal ones those whose graceful failover is in doubt."""
    order = (Verdict.CRITICAL, Verdict.UNKNOWN, Verdict.WARNING)
    bad = (each for each in ready.shards if each.verdict in order)
    return sorted(bad, key=lambda each: (order.index(each.verdict), each.graceful.answer is Answer.YES, each.slots))


def _all(number: int, of_all: str) -> str:
    return f"the one shard {of_all}is" if number == 1 else f"all {number} shards {of_all}are"


def _elsewhere(ready: Readiness) -> str:
    if ready.unowned:
        return f"{slots_text(ready.unowned)} have no owner"
    if ready.findings:
        return ready.findings[0].evidence
    return "whether a majority stands together cannot be told"


def shard_name(snapshot: Snapshot, shard: ShardReady) -> str:
    return called(snapshot.nodes[shard.primary])


def cause(snapshot: Snapshot, shard: ShardReady) -> str:
    """Why the shard is not ready, the worst first; "" where it is."""
    if shard.out:
        return f"{slots_text(shard.slots)} are out: {_way_back(snapshot, shard)}"
    critical = next((each for each in shard.findings if each.severity == "critical"), None)
    if critical is not None:
        return critical.evidence
    said = []
    if shard.graceful.answer is not Answer.YES:
        said.append(f"a graceful failover {_VERBS[shard.graceful.answer]}: {_why(snapshot, shard.graceful)}")
    if shard.survives_crash is not Known.YES:
        verb = "would not be survived" if shard.survives_crash is Known.NO else "cannot be judged"
        why = _crash_reasons(snapshot, shard)
        if said and not why:
            said[0] += f", and a crash {verb} either"
        else:
            usual = "no replica could be elected" if shard.survives_crash is Known.NO else "too much is silent to us"
            said.append(f"a crash {verb}: {why or usual}")
    return "; ".join(said) or next((each.evidence for each in shard.findings), "")


_VERBS = {
    Answer.CONSENT: "would be refused",
    Answer.NO: "would be refused",
    Answer.UNKNOWN: "cannot be judged",
    Answer.YES: "works",
}


def _way_back(snapshot: Snapshot, shard: ShardReady) -> str:
    if shard.survives_crash is Known.YES and shard.crash is not None:
        longest = f" within {duration(shard.crash.outage_ms[1])}" if shard.crash.outage_ms else ""
        return f"an automatic failover is due{longest}"
    best = shard.best
    if best.answer in (Answer.YES, Answer.CONSENT):
        only = "only " if best.mode is Mode.TAKEOVER else ""
        return f"nobody is elected by itself; {only}{best.mode} can bring them back"
    return f"no failover can bring them back: {_why(snapshot, shard.mode(Mode.TAKEOVER))}"


def _crash_reasons(snapshot: Snapshot, shard: ShardReady) -> str:
    """Why nobody is elected, where that is not what hinders a graceful failover anyway."""
    crash = shard.crash
    if crash is None:
        return ""
    if crash.empty:
        return "a replica without any data would be elected"
    if crash.starved:
        return "min-replicas-to-write asks for more replicas than would be left"
    if shard.votes.voters < 3:
        return f"with {counted(shard.votes.voters, 'voter')} each of them is needed to elect anybody"
    return _grouped(snapshot, crash.reasons)


def _grouped(snapshot: Snapshot, reasons: Iterable[tuple[NodeId, tuple[str, ...]]]) -> str:
    """Each reason once, with all that it is true of."""
    by_text: dict[str, list[str]] = {}
    for node_id, texts in reasons:
        if texts:
            by_text.setdefault(listing(texts), []).append(called(snapshot.nodes[node_id]))
    return "; ".join(f"{listing(names)}: {text}" for text, names in by_text.items())


def next_command(ready: Readiness, shard: ShardReady) -> str:
    """A sentence with the command to type next; "" where nothing is wrong."""
    snapshot = ready.snapshot
    seed = answering(snapshot, shard.primary) or answering(snapshot)
    if shard.verdict is Verdict.OK:
        return ""
    if shard.out:
        if dark := maybe_beyond(snapshot):
            there = snapshot.nodes[dark[0]].endpoint
            return f"Look from a host that reaches {named(snapshot, dark)} first: {rcfail('ready', there)}"
        if shard.survives_crash is Known.YES:
            return f"Wait for it: {rcfail('health', seed, '--wait', '60s')}"
        if shard.best.candidate and shard.best.answer in (Answer.YES, Answer.CONSENT):
            return f"See what it would do: {_failover(snapshot, shard.best, '--dry-run')}"
    wait_ms = shard.graceful.retry_after_ms
    if wait_ms and shard.graceful.candidate and shard.graceful.answer is not Answer.YES:
        return (
            f"It works in {duration(wait_ms)}; or let it wait: {_failover(snapshot, shard.graceful, '--wait-cooldown')}"
        )
    return shard.advice or _first_hint(shard.graceful) or f"See what is wrong: {rcfail('health', seed)}"


def _failover(snapshot: Snapshot, mode: ModeReady, *words: str) -> str:
    assert mode.candidate is not None
    node = snapshot.nodes[mode.candidate.node_id]
    name = str(node.endpoint) if node.endpoint else node.node_id
    return rcfail("failover", answering(snapshot) or node.endpoint, name, *FLAGS[mode.mode], *words)


def _first_hint(mode: ModeReady) -> str:
    checks = refusing(mode.candidate.checks) if mode.candidate else ()
    return next((each.hint for each in checks if each.hint), "")


def _why(snapshot: Snapshot, mode: ModeReady) -> str:
    """The reason that is behind the others, and the codes of these."""
    if mode.candidate is None:
        return "the shard has no replica"
    node = snapshot.nodes[mode.candidate.node_id]
    if node.view is None:  # nothing of it can be seen, and each check says so in its own way
        if node.alive is not Known.NO:
            return f"{called(node)} does not answer us"
        dead = node.silence is not None and node.silence.reason is SilenceReason.REFUSED
        return f"{called(node)} {'is down' if dead else 'does not answer us, and is held for failed'}"
    first, *others = sorted(refusing(mode.candidate.checks), key=_finality)
    more = f" (and {listing((each.code for each in others), 3)})" if others else ""
    return f"{first.evidence}{more}"


def _finality(check: Check) -> tuple[bool, bool]:
    """What is known stands before what is not, and what nothing lets pass before the rest."""
    return check.verdict is CheckVerdict.UNKNOWN, check.override is not None


def mode_text(snapshot: Snapshot, shard: ShardReady, mode: ModeReady) -> str:
    """One mode in one sentence. Where the gentlest works, what others would need is told in short."""
    if mode.answer is Answer.YES:
        return f"works: {_effect(snapshot, shard, mode)}{_warned(mode)}"
    if mode.answer is Answer.CONSENT and shard.graceful.answer is Answer.YES:
        return f"not called for: needs {listing(mode.needs)}{_price(mode)}"
    if mode.answer is Answer.CONSENT:
        return f"only with {listing(mode.needs)}: {_why(snapshot, mode)}{_after_wait(mode)}{_price(mode)}"
    word = "no" if mode.answer is Answer.NO else "cannot be told"
    return f"{word}: {_why(snapshot, mode)}{_after_wait(mode)}"


def _name(snapshot: Snapshot, contender: Contender | None) -> str:
    return called(snapshot.nodes[contender.node_id]) if contender else "nobody"


def _effect(snapshot: Snapshot, shard: ShardReady, mode: ModeReady) -> str:
    usual = shard.graceful.candidate
    same = usual is not None and mode.candidate is not None and usual.node_id == mode.candidate.node_id
    who = "it" if same else _name(snapshot, mode.candidate)
    if mode.mode is Mode.GRACEFUL:
        return f"{who} takes over, {pause_text(shard)}; nothing is lost"
    return f"{who} takes over at once; {_lost(mode)}"


def pause_text(shard: ShardReady) -> str:
    return f"writes wait {between(shard.pause_ms)}" if shard.pause_ms else "how long writes wait cannot be told"


def _price(mode: ModeReady) -> str:
    """What consent would cost. A graceful failover that is refused costs nothing that can be told beforehand."""
    return "" if mode.mode is Mode.GRACEFUL else f"; {_lost(mode)}"


def _lost(mode: ModeReady) -> str:
    span = mode.at_risk_bytes
    if span is None:
        return "how much is at risk cannot be told"
    return f"{size(span[0])} to {size(span[1])} at risk" if span[0] != span[1] else f"{size(span[0])} at risk"


def _warned(mode: ModeReady) -> str:
    checks = mode.candidate.checks if mode.candidate else ()
    warned = [each for each in checks if each.verdict is CheckVerdict.WARN]
    return f"; but {'; '.join(each.evidence for each in warned)}" if warned else ""


def _after_wait(mode: ModeReady) -> str:
    return f"; works in {duration(mode.retry_after_ms)}" if mode.retry_after_ms else ""


def cooldown_text(shard: ShardReady) -> str:
    left = [each.retry_after_ms for each in shard.modes if each.retry_after_ms]
    return f"cooldown {duration(max(left))}" if left else "no cooldown"


def crash_text(snapshot: Snapshot, shard: ShardReady) -> str:
    """What the servers do by themselves when the primary dies now."""
    crash = shard.crash
    if crash is None:
        return "cannot be told"
    if shard.survives_crash is Known.YES and crash.outage_ms is not None and not shard.out:
        usual = shard.graceful.candidate
        alone = usual is not None and crash.contenders == (usual.node_id,)
        who = "it" if alone else " or ".join(called(snapshot.nodes[each]) for each in crash.contenders)
        return f"survived: {who} is elected; no writes for {between(crash.outage_ms)}; {_crash_loss(shard)}"
    if shard.survives_crash is Known.YES:
        return f"on its way: {fate_text(snapshot, crash, Stop.NOTHING)}"
    lead = "not survived" if shard.survives_crash is Known.NO else "cannot be told"
    reasons = _crash_reasons(snapshot, shard)
    if crash.fate is Fate.GONE:
        reasons = "no replica lives"
    return f"{lead}: {reasons or 'nobody would be elected'}"


def _crash_loss(shard: ShardReady) -> str:
    behind = shard.crash.behind_bytes if shard.crash else None
    if behind is None:
        return "how much is at risk cannot be told"
    return f"{size(behind)} at risk when we looked"


def candidate_text(snapshot: Snapshot, shard: ShardReady) -> str:
    """Who would lead, how far it is behind, who hears it."""
    best = shard.graceful.candidate
    if best is None:
        return "none: the shard has no replica"
    behind = f"{size(best.behind_bytes)} behind" if best.behind_bytes is not None else "lag unknown"
    votes = f"{shard.votes.standing} of {counted(shard.votes.voters, 'vote')}, {shard.votes.needed} needed"
    return f"{_name(snapshot, best)}; {behind}; {votes}; {cooldown_text(shard)}"

"""The page of `rcfail health`: what is wrong, what it means and what mends it come first, the proof after."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rcfail.cluster.nouns import NodeId
from rcfail.cluster.snapshot import Known, Snapshot
from rcfail.health.catalogue import BY_CODE
from rcfail.health.finding import Finding, Promise, Severity, Subject, SubjectKind
from rcfail.health.verdict import Diagnosis, Verdict
from rcfail.health.wording import counted, listing
from rcfail.render.facts import epoch, slot_counts, versions
from rcfail.render.lines import EMPTY, Line, Span, Style, line, span, wrapped
from rcfail.render.shards import shard_blocks
from rcfail.render.words import PROMISE_WORDS, ranges, severity_style

MOST_ALIKE = 5
"""Findings of one code that are told in full; of more, the rest is listed by subject."""

_MOST_SUBJECTS = 20
_LABEL = len("means: ")
_COMMAND = re.compile(r": ((?:rcfail|redis-cli|valkey-cli) .+)$")


def health_page(snapshot: Snapshot, diagnosis: Diagnosis, width: int, show_all: bool) -> Iterator[Line]:
    yield from _head(snapshot, diagnosis, width)
    yield from shard_blocks(snapshot, diagnosis.findings, width, show_all)
    yield from finding_blocks(diagnosis.findings, width, show_all)
    yield from _ignored(diagnosis.ignored, width)


def brief_page(snapshot: Snapshot, diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    """The same for little room: each finding in one line, and only the shards that something is wrong with."""
    yield from _head(snapshot, diagnosis, width)
    weighty = [each for each in diagnosis.findings if each.severity is not Severity.INFO]
    for number, finding in enumerate(weighty, 1):
        severity = Span(finding.severity.upper(), severity_style(finding.severity))
        head = span(f"  {finding.code}  {subject_words(finding.subject)}", Style.HEAD)
        yield from (EMPTY,) if number == 1 else ()
        yield line(Span(f"{number}. "), severity, head)
    yield from shard_blocks(snapshot, diagnosis.findings, width, show_all=False, most=0)


def _head(snapshot: Snapshot, diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    verdict = Span(diagnosis.verdict.upper(), severity_style(diagnosis.verdict))
    said = headline(snapshot, diagnosis, width - len(verdict.text) - 2)
    yield from wrapped(said, width, first=line(verdict, "  "), indent=2, style=Style.HEAD)
    yield _promises(diagnosis)
    if diagnosis.verdict is not Verdict.OK:
        yield from what_now(diagnosis.findings[0], width, indent=0)
    yield EMPTY
    yield from wrapped(_facts(snapshot), width)


def headline(snapshot: Snapshot, diagnosis: Diagnosis, room: int) -> str:
    """The whole verdict in one line of at most `room` columns, where that can be: a log keeps the first line."""
    if diagnosis.verdict is Verdict.OK:
        replicas = sum(len(shard.replica_ids) for shard in snapshot.shards)
        primaries = len(snapshot.electorate.voters)
        served = (
            f"{slot_counts(snapshot).ok} slots served by {primaries} {'primary' if primaries == 1 else 'primaries'}"
        )
        return f"{served} with {counted(replicas, 'replica')}"
    first = diagnosis.findings[0]
    title, count = BY_CODE[first.code].title, counted(_weighty(diagnosis.findings), "finding")
    candidates = [f"{title}: {each} ({count})" for each in _subject_lists(snapshot, diagnosis.findings)]
    candidates = [*candidates, candidates[-1].removesuffix(f" ({count})")] if candidates else [f"{title} ({count})"]
    return next((each for each in candidates if len(each) <= room), candidates[-1])


def _subject_lists(snapshot: Snapshot, findings: Sequence[Finding]) -> list[str]:
    """What the first finding and all of its kind are about: most of it first, then ever shorter."""
    first = findings[0]
    subjects = [
        each.subject
        for each in findings
        if (each.code, each.severity) == (first.code, first.severity) and each.subject.kind is not SubjectKind.CLUSTER
    ]
    full = [_named(snapshot, subject) for subject in subjects]
    brief = [each.split(" of ")[0] for each in full]
    return [listing(words, most) for words, most in ((full, 3), (full, 1), (brief, 3), (brief, 1)) if subjects]


def _named(snapshot: Snapshot, subject: Subject) -> str:
    """In the first line a shard is named with its slots: they say who is hit."""
    if subject.kind is SubjectKind.SLOT:
        return subject.id
    shard = snapshot.shard_of(NodeId(subject.id)) if subject.kind is SubjectKind.SHARD else None
    return f"{ranges(shard.slots, 2)} of {subject.address}" if shard and shard.slots else subject_words(subject)


def _weighty(findings: Iterable[Finding]) -> int:
    return sum(1 for finding in findings if finding.severity is not Severity.INFO)


def _promises(diagnosis: Diagnosis) -> Line:
    answers = (
        (Promise.SERVING, diagnosis.serving),
        (Promise.REDUNDANT, diagnosis.redundant),
        (Promise.FAILOVER_READY, diagnosis.failover_ready),
    )
    parts: list[Span] = []
    for promise, answer in answers:
        said = answer.value if answer is Known.YES else answer.value.upper()
        parts += [Span(f"{PROMISE_WORDS[promise]} "), Span(said, severity_style(answer)), Span(", ")]
    return tuple(parts[:-1])


def _facts(snapshot: Snapshot) -> str:
    """The size of the cluster and its quorum in one sentence."""
    voters = snapshot.electorate
    silent = sum(1 for node in snapshot.nodes.values() if node.view is None)
    said = f"{counted(len(snapshot.nodes), 'node')} in {counted(len(snapshot.shards), 'shard')}"
    if silent:
        said += f", {silent} silent"
    said += f"; {len(voters.reachable)} of {counted(len(voters.voters), 'voter')} answer, {voters.needed} needed"
    if (current := epoch(snapshot)) is not None:
        said += f"; epoch {current}"
    return f"{said}; {', '.join(versions(snapshot)) or 'version unknown'}"


def subject_words(subject: Subject) -> str:
    """What a finding is about, in a few words."""
    match subject.kind:
        case SubjectKind.CLUSTER:
            return "cluster"
        case SubjectKind.SLOT:
            return f"{'slots' if '-' in subject.id else 'slot'} {subject.id}"
        case SubjectKind.SHARD:
            return f"shard of {subject.address or subject.id[:8]}"
        case SubjectKind.VIEW:
            return f"view of {subject.address or subject.id[:8]}"
        case SubjectKind.NODE:
            return subject.address or subject.id[:8]


def finding_blocks(findings: Sequence[Finding], width: int, show_all: bool) -> Iterator[Line]:
    number = 0
    for _, group in groupby(findings, key=lambda each: (each.code, each.severity)):
        alike = list(group)
        told = alike if show_all or len(alike) <= MOST_ALIKE + 1 else alike[:MOST_ALIKE]
        for finding in told:
            number += 1
            yield EMPTY
            yield from _finding(number, finding, width)
        if len(told) < len(alike):
            yield EMPTY
            yield from _rest(alike[len(told) :], number + 1, width)
            number += len(alike) - len(told)


def _finding(number: int, finding: Finding, width: int) -> Iterator[Line]:
    head = f"{finding.code}  {subject_words(finding.subject)}"
    style = severity_style(finding.severity)
    yield line(Span(f"{number}. "), Span(finding.severity.upper(), style), "  ", span(head, Style.HEAD))
    indent = len(f"{number}. ")
    yield from wrapped(finding.evidence, width, first=line(" " * indent), indent=indent)
    yield from what_now(finding, width, indent)


def what_now(finding: Finding, width: int, indent: int) -> Iterator[Line]:
    """The consequence and the next command, under fixed labels that an eye finds."""
    margin = " " * indent
    if finding.consequence:
        lead = line(margin, Span("means: ", Style.HEAD))
        yield from wrapped(finding.consequence, width, first=lead, indent=indent + _LABEL)
    hint = finding.hint or f"read on: rcfail explain {finding.code}"
    words, command = _split_hint(hint)
    yield from wrapped(words, width, first=line(margin, Span("hint:  ", Style.HEAD)), indent=indent + _LABEL)
    if command:
        # Never wrapped: it is there to be pasted into a shell.
        yield line(margin, " " * _LABEL, span(command, Style.GOOD))


def _split_hint(hint: str) -> tuple[str, str]:
    """The sentence and, where it ends with one, the command."""
    match = _COMMAND.search(hint)
    return (hint[: match.start()] + ":", match[1]) if match else (hint, "")


def _rest(findings: Sequence[Finding], number: int, width: int) -> Iterator[Line]:
    subjects = listing((subject_words(each.subject) for each in findings), most=_MOST_SUBJECTS)
    last = number + len(findings) - 1
    lead = line(f"{number}-{last}. ", Span(findings[0].severity.upper(), severity_style(findings[0].severity)), "  ")
    text = f"{findings[0].code}, the same of {subjects}: --all tells each"
    yield from wrapped(text, width, first=lead, indent=3)


def _ignored(findings: Sequence[Finding], width: int) -> Iterator[Line]:
    if findings:
        yield EMPTY
    for code, group in groupby(findings, key=lambda each: each.code):
        subjects = listing(subject_words(each.subject) for each in group)
        yield from wrapped(f"ignored by --ignore {code}: {subjects}", width, indent=2, style=Style.DIM)

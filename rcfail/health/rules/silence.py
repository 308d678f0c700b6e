"""Nodes that do not answer us, or answer only in part: the catch-all, so that no silence is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rcfail.cluster.observation import AbsenceKind, Ask, Silence, SilenceReason
from rcfail.cluster.snapshot import Known, Node, Snapshot, View
from rcfail.health.finding import CLUSTER, Finding, Promise, Severity, Subject, SubjectKind, Thresholds, of_node
from rcfail.health.standing import Standing, held_for_dead, standings
from rcfail.health.wording import (
    answering,
    called,
    counted,
    duration,
    listing,
    loss,
    named,
    rcfail,
    redis_cli,
    tally,
    who,
)

ESSENTIAL = (Ask.INFO, Ask.CLUSTER_INFO, Ask.CLUSTER_NODES, Ask.CONFIG)
"""Without any of these a verdict would rest on a guess."""

_ONE_BY_ONE = 3
"""Up to so many silent nodes get a line each; more of them have one cause, and get one line."""

_PHRASES = {
    SilenceReason.UNRESOLVABLE: "its name has no address",
    SilenceReason.REFUSED: "nothing listens there (connection refused)",
    SilenceReason.UNREACHABLE: "there is no way to it from here",
    SilenceReason.CONNECT_TIMEOUT: "nobody took our connection",
    SilenceReason.FROZEN: "it took our connection and sent nothing",
    SilenceReason.TOO_SLOW: "it gave no whole answer in time",
    SilenceReason.TOO_LARGE: "its answer was larger than we read",
    SilenceReason.CLOSED: "it ended our connection",
    SilenceReason.BUSY: "it answers nothing but BUSY",
    SilenceReason.CLIENTS_FULL: "it takes no more clients",
    SilenceReason.AUTH_REFUSED: "it refuses our credentials",
    SilenceReason.NOT_A_CLUSTER: "a server with cluster support disabled answers there",
    SilenceReason.TLS_EXPECTED: "that is a TLS port",
    SilenceReason.NOT_TLS: "it does not speak TLS",
    SilenceReason.TLS_UNTRUSTED: "no CA that we trust signed its certificate",
    SilenceReason.TLS_EXPIRED: "its certificate is not valid now",
    SilenceReason.TLS_NAME: "its certificate is for another name",
    SilenceReason.TLS_CLIENT_CERT: "it wants a client certificate that it trusts",
    SilenceReason.TLS_FAILED: "the TLS handshake failed",
    SilenceReason.GARBAGE: "what answers there does not speak the Redis protocol",
    SilenceReason.NO_TIME: "our deadline passed first",
    SilenceReason.NO_ADDRESS: "no view prints an address for it",
    SilenceReason.NO_PORT: "the views print port 0 for it, so it takes no connections such as ours, plain or TLS",
    SilenceReason.ANOTHER_NODE: "another node answers at its address",
}

_SECURED_HINTS = {
    SilenceReason.TLS_EXPECTED: "Speak TLS with all of them: --tls --cacert FILE.",
    SilenceReason.NO_PORT: "Ask it as its other clients do: with --tls --cacert FILE, or without.",
    SilenceReason.NOT_TLS: "If tables print plain ports, name the TLS ones by a rule: --natmap '*:{port}=*:TLS_PORT'.",
    SilenceReason.TLS_UNTRUSTED: "Add the CA that signed it to the file of --cacert.",
    SilenceReason.TLS_EXPIRED: "Renew the certificate of the node, or set the clock of this host.",
    SilenceReason.TLS_NAME: "Let it announce a name that its certificate is for (cluster-announce-hostname), or --sni.",
    SilenceReason.TLS_CLIENT_CERT: "Show a certificate that its CA file knows: --cert FILE --key FILE.",
    SilenceReason.TLS_FAILED: "Compare its tls-protocols and tls-ciphers with the other nodes'.",
}

_OWN_CODE = frozenset(
    {SilenceReason.FROZEN, SilenceReason.BUSY, SilenceReason.CLIENTS_FULL, SilenceReason.AUTH_REFUSED}
)


def why(node: Node) -> str:
    """Why the node gave no answer, as the end of a sentence."""
    return reason_of(node.silence) if node.silence else "it was not asked"


def reason_of(silence: Silence) -> str:
    """Why nobody answered at an address, as the end of a sentence."""
    waited = f" in {duration(silence.waited_ms)}" if silence.reason is SilenceReason.CONNECT_TIMEOUT else ""
    return _PHRASES[silence.reason] + waited


def node_silent(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """A node that is silent to us. It may only be our own network, so what the others say decides how bad that is."""
    stands = standings(snapshot)
    silent = [node for node in snapshot.nodes.values() if stands[node.node_id] is Standing.SILENT]
    unclear: list[Node] = []
    for node in silent:
        if node.alive is Known.NO or held_for_dead(snapshot, node):
            yield _dead(snapshot, node)
        else:
            unclear.append(node)
    if len(unclear) > _ONE_BY_ONE:
        yield _many(snapshot, unclear)
    else:
        for node in unclear:
            yield _unclear(snapshot, node)


def _dead(snapshot: Snapshot, node: Node) -> Finding:
    return Finding(
        "node-silent",
        Severity.CRITICAL if node.slots else Severity.WARNING,
        of_node(node),
        f"{who(snapshot, node)}, does not answer us: {why(node)}; {tally(snapshot, node)}",
        f"{loss(snapshot, node)}.",
        f"Look at the process on {node.host or 'its host'}; how it comes back: {_way_back(snapshot, node)}",
        (Promise.SERVING, Promise.REDUNDANT) if node.slots else (Promise.REDUNDANT,),
    )


def _way_back(snapshot: Snapshot, node: Node) -> str:
    place = str(node.endpoint or node.address.endpoint or node.node_id)
    return rcfail("recover", answering(snapshot, node.node_id), place, "--dry-run")


def _unclear(snapshot: Snapshot, node: Node) -> Finding:
    if node.alive is Known.YES and node.silence is not None and node.silence.reason in _SECURED_HINTS:
        meaning = "The others hold it for alive: only we, and clients set up as we are, do not get through to it."
    elif node.alive is Known.YES:
        meaning = "The others hold it for alive: it died just now, or the way from here to it is broken."
    else:
        meaning = "Too few of the others could be asked to tell whether it is alive."
    return Finding(
        "node-silent",
        Severity.UNKNOWN,
        of_node(node),
        f"{who(snapshot, node)}, does not answer us: {why(node)}; {tally(snapshot, node)}"
        + _broken_links(snapshot, node),
        meaning,
        _hint(node),
    )


def _broken_links(snapshot: Snapshot, node: Node) -> str:
    """Replicas that lost their link to it: they notice a dead process at once, the bus only after the node timeout."""
    shard = snapshot.shard_of(node.node_id)
    replicas = snapshot.replicas_of(shard) if shard and shard.primary_id == node.node_id else ()
    down = [each.node_id for each in replicas if each.vitals and each.vitals.replication.link_up is False]
    return f", but the link to it is down on {named(snapshot, down)}" if down else ""


def _many(snapshot: Snapshot, nodes: Sequence[Node]) -> Finding:
    reasons = Counter(why(node) for node in nodes)
    alive = sum(1 for node in nodes if node.alive is Known.YES)
    return Finding(
        "node-silent",
        Severity.UNKNOWN,
        CLUSTER,
        f"{len(nodes)} of {counted(len(snapshot.nodes), 'node')} do not answer us ("
        + "; ".join(f"{number}: {reason}" for reason, number in reasons.most_common())
        + f"), {alive} of them alive for the others: {listing(sorted(called(node) for node in nodes))}",
        "The way from here to them is probably broken, and nothing can be said of them.",
        _hint(min(nodes, key=lambda node: node.node_id), many=True),
    )


def _hint(node: Node, many: bool = False) -> str:
    if node.silence is not None and node.silence.reason is SilenceReason.NO_TIME:
        return f"Give it more time: {rcfail('health', node.endpoint, '--deadline', '30s')}"
    if node.silence is not None and node.silence.reason in _SECURED_HINTS:
        port = str(node.endpoint.port) if node.endpoint else "PORT"
        return _SECURED_HINTS[node.silence.reason].replace("{port}", port)
    again = "Ask one of them from another machine" if many else "Ask it from another machine"
    return f"{again}: {redis_cli(node.endpoint, 'CLUSTER', 'INFO')}"


def seeds_silent(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """Addresses that we were given, that do not answer, and that no view lists."""
    stray = [each for each in snapshot.silences if each.expected is None and each.reason not in _OWN_CODE]
    blind = not snapshot.groups
    if blind and not snapshot.silences and not snapshot.views:
        stray_text = "nobody was asked"
    elif stray:
        stray_text = "; ".join(f"{each.endpoint}: {reason_of(each)}" for each in stray[:5])
        stray_text += f"; and {len(stray) - 5} more" if len(stray) > 5 else ""
    else:
        return
    if blind:
        yield Finding(
            "node-silent",
            Severity.UNKNOWN,
            CLUSTER,
            f"no node gave a view of the cluster: {stray_text}",
            "Nothing can be said of the cluster.",
            f"Name a node that is up: {rcfail('health', None, '-s', 'HOST:PORT')}",
        )
        return
    for each in stray:
        yield Finding(
            "node-silent",
            Severity.INFO,
            Subject(SubjectKind.NODE, "", str(each.endpoint)),
            f"the seed {each.endpoint} does not answer: {reason_of(each)}; no view lists it",
            "Nothing is lost, but a list of seeds that is out of date fails when it is needed.",
            f"Take the seeds from: {rcfail('nodes', snapshot.views[0].endpoint)}",
        )


def answers_in_part(snapshot: Snapshot, _: Thresholds) -> Iterator[Finding]:
    """The connection ended, or time was over, in the middle of a node's answers."""
    for view in snapshot.views:
        missing = [ask for ask in ESSENTIAL if _cut_short(view, ask)]
        if not missing:
            continue
        node = snapshot.node(view.observer)
        yield Finding(
            "node-silent",
            Severity.UNKNOWN,
            of_node(node) if node else Subject(SubjectKind.NODE, "", str(view.endpoint)),
            f"{called(node) if node else view.endpoint} answered only in part: nothing to {listing(missing, 4)}",
            "What it would have said may change the verdict.",
            f"Give it more time: {rcfail('health', view.endpoint, '--read-timeout', '10s')}",
        )


def _cut_short(view: View, ask: Ask) -> bool:
    absence = view.absences.get(ask)
    if absence is None:
        return ask is Ask.CLUSTER_NODES and view.reply is None
    return absence.kind is AbsenceKind.NO_ANSWER


RULES = (node_silent, seeds_silent, answers_in_part)

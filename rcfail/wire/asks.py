"""What a node is asked, in which order, and how its replies become an Answer or a Silence.

INFO comes first: while a server loads its data it is the one that is always answered. What the version or
the ACL refuses is an Absence of that one question; only what makes the whole node unusable is a Silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rcfail.clock import Clock, Deadline
from rcfail.cluster.dialect import configures_several_at_once, has_links, has_slot_migrations, kind_of, name_of
from rcfail.cluster.logins import DEFAULT_USER, AclUser, PrimaryLogin
from rcfail.cluster.nouns import BusLink, Endpoint, NodesReply
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Silence, SilenceReason
from rcfail.cluster.parse_links import parse_links
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.cluster.vitals import Server
from rcfail.wire.conversation import Conversation
from rcfail.wire.door import Door
from rcfail.wire.fingerprints import UserReader, login_of
from rcfail.wire.packed import Command
from rcfail.wire.refusals import Refusal, RefusalKind
from rcfail.wire.replies import Reply

LINKS_UP_TO_NODES = 30
"""CLUSTER LINKS of all nodes together grows with the square of their number, so large clusters are not asked."""

T = TypeVar("T")

# No pattern matches masterauth or requirepass. They are narrow because every setting costs time on each of a thousand
# nodes, and most are judged by nobody.
_CONFIG_PATTERNS = (
    "cluster-[mnpr]*",  # the timeouts, the migration barrier, full coverage, the preferred endpoint
    "cluster-allow-*",  # also reads-when-down
    "repl-[pt]*",
    "min-replicas-*",
    "stop-writes-on-bgsave-error",
    "save",
    # What the clients of a shard notice when another node takes it over. maxmemory and its policy, maxclients, the
    # append-only file and the size of the backlog are in INFO, so they cost nothing.
    "appendfsync",
    "notify-keyspace-events",
    "timeout",
    "tcp-keepalive",
)
_CONFIG_PREFIXES = ("cluster-", "repl-", "min-replicas-")
_CONFIG_NAMES = (
    "stop-writes-on-bgsave-error",
    "save",
    "appendfsync",
    "notify-keyspace-events",
    "timeout",
    "tcp-keepalive",
)

# silence_in relies on the places of the first three.
_WHO: tuple[Command, ...] = (("INFO",), ("CLUSTER", "INFO"), ("CLUSTER", "NODES"))
_SETTINGS_ONE_BY_ONE: tuple[Command, ...] = tuple(("CONFIG", "GET", pattern) for pattern in _CONFIG_PATTERNS)
_SETTINGS_AT_ONCE: tuple[Command, ...] = (("CONFIG", "GET", *_CONFIG_PATTERNS),)
# Only as the default user: it may do everything nearly everywhere, while a user of our own need not be let see hashes
# of passwords, and each refusal would leave a line in the ACL LOG of every node.
_USERS: Command = ("ACL", "LIST")
# Only where we need a password ourselves: elsewhere nodes need none from each other, and a secret is not fetched.
_LOGIN: tuple[Command, ...] = (("CONFIG", "GET", "masteruser"), ("CONFIG", "GET", "masterauth"))

# What any node may be asked in the first write, in either form.
FIRST: tuple[Command, ...] = (*_WHO, *_SETTINGS_ONE_BY_ONE)

MOST_LINES = 10_000
MOST_CHARACTERS = 4 * 1024 * 1024
"""A longer INFO or table of members is not read. Redis Cluster is made for some 1,000 nodes, and what a liar makes up
would be judged for minutes after the deadline."""

_MALFORMED = Absence(AbsenceKind.MALFORMED, "the reply has not the form that this command gives")
_UNREADABLE = Absence(AbsenceKind.REFUSED, "the reply has not the form that this command gives")
_NOT_OURS = Absence(AbsenceKind.NOT_ASKED, "asked as the default user only")
_LARGE = Absence(AbsenceKind.NOT_ASKED, f"not asked in a cluster of more than {LINKS_UP_TO_NODES} nodes")


@dataclass(slots=True)
class _Said:
    """What one node has said so far."""

    server: Server = field(default_factory=Server)
    info: str | None = None
    cluster_info: str | None = None
    nodes: NodesReply | None = None
    links: tuple[BusLink, ...] | None = None
    config: Mapping[str, str] | None = None
    slot_migrations: tuple[Mapping[str, str], ...] | None = None
    users: tuple[AclUser, ...] | None = None
    login: PrimaryLogin | None = None
    absences: dict[Ask, Absence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The first questions to a node, how many of them are for settings, and when they were sent."""

    commands: tuple[Command, ...]
    settings: int
    began_s: float
    at_unix_ms: int

    @property
    def at_once(self) -> bool:
        """All settings are in one question, which only newer servers understand."""
        return self.settings == len(_SETTINGS_AT_ONCE)


class Questioner:
    """Asks one node after the other, from many threads; what they say alike is kept once.

    `all_links` asks for CLUSTER LINKS in a cluster of any size.
    """

    def __init__(self, door: Door, reader: NodesReader, clock: Clock, all_links: bool = False) -> None:
        self._door = door
        self._reader = reader
        self._clock = clock
        self._all_links = all_links
        self._words: dict[str, str] = {}
        self._settings: dict[tuple[Reply, ...], Mapping[str, str]] = {}
        self._users = UserReader()
        self._lists_users = (door.credentials.username or DEFAULT_USER) == DEFAULT_USER
        self._openings: dict[Endpoint, _Opening] = {}
        self._rest = (
            *((_USERS,) if self._lists_users else ()),
            *(_LOGIN if door.credentials.password is not None else ()),
        )

    def begin(self, places: Sequence[Endpoint], deadline: Deadline) -> Iterator[Endpoint]:
        """Send the first questions to all; yield who begins to answer within a moment. `ask` goes on with each."""
        opening = self._opening_now()
        self._openings |= dict.fromkeys(places, opening)
        return self._door.begin(places, opening.commands, deadline)

    def drop(self) -> None:
        """Let go whom nobody asked after `begin`."""
        self._door.drop()

    def _opening_now(self) -> _Opening:
        settings = _SETTINGS_AT_ONCE if self._door.all_take_patterns else _SETTINGS_ONE_BY_ONE
        commands = (*_WHO, *settings, *self._rest)
        return _Opening(commands, len(settings), self._clock.monotonic_s(), self._clock.unix_ms())

    def ask(self, endpoint: Endpoint, deadline: Deadline) -> Answer | Silence:
        """Everything from one node, over one connection. Never raises. `expected` is left to whoever knows it."""
        begun = self._openings.pop(endpoint, None)
        # Who was not reached by `begin` is asked anew, and the time that it spent waiting for a thread is not its own.
        opening = begun if begun and self._door.has_begun(endpoint) else self._opening_now()
        began_s, at_unix_ms = opening.began_s, opening.at_unix_ms
        with self._door.open(endpoint, deadline=deadline) as conversation:
            replies = conversation.read(opening.commands)
            silence = silence_in(replies)
            if silence is not None:
                return Silence(endpoint, None, silence[0], silence[1], self._since_ms(began_s))
            said = self._first(replies, opening.settings)
            del replies  # they may hold masterauth
            able = configures_several_at_once(said.server)
            self._door.all_take_patterns = able and self._door.all_take_patterns is not False
            self._second(conversation, said, settings_again=opening.at_once and not able)
        return Answer(
            endpoint=endpoint,
            expected=None,
            asked_at_unix_ms=at_unix_ms,
            took_ms=self._since_ms(began_s),
            info=said.info,
            cluster_info=said.cluster_info,
            nodes=said.nodes,
            links=said.links,
            config=said.config,
            slot_migrations=said.slot_migrations,
            users=said.users,
            login=said.login,
            absences=said.absences,
        )

    def _first(self, replies: Sequence[Reply], settings: int) -> _Said:
        said = _Said()
        info, cluster_info, nodes, *more = replies
        config, rest = more[:settings], more[settings:]
        said.info = _text(Ask.INFO, info, said)
        said.cluster_info = _text(Ask.CLUSTER_INFO, cluster_info, said)
        text = _text(Ask.CLUSTER_NODES, nodes, said)
        said.nodes = None if text is None else self._reader.read(text)
        said.server = kind_of(said.info or "")
        said.config = self._config(config, said)
        if self._lists_users:
            said.users = self._acl(rest.pop(0), said)
        else:
            said.absences[Ask.USERS] = _NOT_OURS
        if rest:
            said.login = _login(rest, said)
        return said

    def _acl(self, reply: Reply, said: _Said) -> tuple[AclUser, ...] | None:
        found = self._users.read(reply) if isinstance(reply, tuple) else None
        if found is None:
            said.absences[Ask.USERS] = reply.absence if isinstance(reply, Refusal) else _UNREADABLE
        return found

    def _config(self, replies: Sequence[Reply], said: _Said) -> Mapping[str, str] | None:
        """All that any pattern gave. A server that gives more than was asked is not listened to."""
        known = self._settings.get(key := tuple(replies))  # nearly all nodes of a cluster are set alike
        if known is not None:
            return known
        found: dict[str, str] = {}
        tables = [table for table in map(_table, replies) if table is not None]
        for table in tables:
            for name, value in table.items():
                if name.startswith(_CONFIG_PREFIXES) or name in _CONFIG_NAMES:
                    found[self._same(name)] = self._same(value)
        if tables:
            return self._settings.setdefault(key, found)
        refusal = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        said.absences[Ask.CONFIG] = refusal.absence if refusal else _MALFORMED
        return None

    def _same(self, word: str) -> str:
        return self._words.setdefault(word, word)

    def _second(self, conversation: Conversation, said: _Said, settings_again: bool) -> None:
        """A second, small write on the same connection, with what only some servers can be asked."""
        asked: list[tuple[Ask, Command]] = []
        for ask, command, absence in self._more(said):
            if absence is None:
                asked.append((ask, command))
            else:
                said.absences[ask] = absence
        # An old server among new ones did not understand the one question for all settings.
        again = _SETTINGS_ONE_BY_ONE if settings_again and said.config is None else ()
        if not (asked or again):
            return
        replies = conversation.read([*(command for _, command in asked), *again])
        if again:
            said.absences.pop(Ask.CONFIG, None)
            said.config = self._config(replies[len(asked) :], said)
        for (ask, _), reply in zip(asked, replies[: len(asked)], strict=True):
            if isinstance(reply, Refusal):
                said.absences[ask] = reply.absence
            elif ask is Ask.CLUSTER_LINKS:
                said.links = _or_absent(ask, _links(reply), said)
            else:
                said.slot_migrations = _or_absent(ask, _migrations(reply), said)

    def _more(self, said: _Said) -> list[tuple[Ask, Command, Absence | None]]:
        """The further questions, each with the reason why it is not asked, if there is one."""
        server = said.server
        hindrance = said.absences.get(Ask.CLUSTER_NODES)
        large = said.nodes is not None and len(said.nodes.table.beliefs) > LINKS_UP_TO_NODES and not self._all_links
        links = hindrance or _lacking(has_links(server), server, Ask.CLUSTER_LINKS) or (_LARGE if large else None)
        migrations = hindrance or _lacking(has_slot_migrations(server), server, Ask.SLOT_MIGRATIONS)
        return [
            (Ask.CLUSTER_LINKS, ("CLUSTER", "LINKS"), links),
            (Ask.SLOT_MIGRATIONS, ("CLUSTER", "GETSLOTMIGRATIONS"), migrations),
        ]

    def _since_ms(self, began_s: float) -> int:
        return round((self._clock.monotonic_s() - began_s) * 1000)


def silence_in(replies: Sequence[Reply]) -> tuple[SilenceReason, str] | None:
    """Why replies to the first questions make the whole node unusable, or None where they do not."""
    refusals = [reply for reply in replies if isinstance(reply, Refusal)]
    # The first that silences is the cause: "max number of clients reached" is followed by the end of the connection.
    for refusal in refusals:
        if refusal.silence is not None:
            return refusal.silence, refusal.text
    info, _, nodes, *_ = replies
    if isinstance(nodes, Refusal) and (nodes.kind is RefusalKind.UNSUPPORTED or _says_no_cluster(info)):
        return SilenceReason.NOT_A_CLUSTER, nodes.text
    if len(refusals) == len(replies) and all(each.kind is RefusalKind.NOT_PERMITTED for each in refusals):
        return SilenceReason.AUTH_REFUSED, refusals[0].text
    return None


def _says_no_cluster(info: Reply) -> bool:
    return isinstance(info, str) and "\ncluster_enabled:0" in info


def _text(ask: Ask, reply: Reply, said: _Said) -> str | None:
    if isinstance(reply, str):
        return _or_absent(ask, _readable(reply), said)
    said.absences[ask] = reply.absence if isinstance(reply, Refusal) else _MALFORMED
    return None


def _readable(text: str) -> str | Absence:
    lines = text.count("\n")
    if lines <= MOST_LINES and len(text) <= MOST_CHARACTERS:
        return text
    return Absence(AbsenceKind.MALFORMED, f"its {lines} lines, {len(text)} characters, are more than any node gives")


def _or_absent(ask: Ask, read: T | Absence, said: _Said) -> T | None:
    if not isinstance(read, Absence):
        return read
    said.absences[ask] = read
    return None


def _login(replies: Sequence[Reply], said: _Said) -> PrimaryLogin | None:
    values: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, Refusal):
            said.absences[Ask.LOGIN] = reply.absence
            return None
        values |= _table(reply) or {}
    user, password = values.get("masteruser"), values.get("masterauth")
    if user is None or password is None:
        said.absences[Ask.LOGIN] = _UNREADABLE
        return None
    return login_of(user, password)


def _table(reply: Reply) -> dict[str, str] | None:
    """A flat array of names and values, or None where the reply is something else."""
    if not isinstance(reply, tuple) or len(reply) % 2:
        return None
    return {str(name): str(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _links(reply: Reply) -> tuple[BusLink, ...] | Absence:
    """All links or none: with one entry left out, that link would seem to be missing."""
    links, problems = parse_links(reply)
    if not problems:
        return links
    return Absence(AbsenceKind.MALFORMED, f"entry {problems[0].line_number}: {problems[0].reason}")


def _migrations(reply: Reply) -> tuple[Mapping[str, str], ...] | Absence:
    tables = [_table(entry) for entry in reply] if isinstance(reply, tuple) else [None]
    found = tuple(table for table in tables if table is not None)
    return found if len(found) == len(tables) else _MALFORMED


def _lacking(has: bool, server: Server, ask: Ask) -> Absence | None:
    if has:
        return None
    if not server.version:
        return Absence(AbsenceKind.NOT_ASKED, "not asked, because the version of the server is not known")
    return Absence(AbsenceKind.UNSUPPORTED, f"{name_of(server)} has no {ask}")

"""Where the parts meet: settings become a way to see the cluster, live or from a saved observation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rcfail.clock import SYSTEM_CLOCK, Clock, Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import Answer, Observation, Silence
from rcfail.errors import UsageFault
from rcfail.health.manner import PLAIN, Manner
from rcfail.settings.sections import SecretKind, Settings, Tls, Verify

if TYPE_CHECKING:
    from rcfail.wire.bounds import Bounds
    from rcfail.wire.door import Door
    from rcfail.wire.tls import Guard


class Sight(Protocol):
    """A way to look at one cluster. `manner` is how the operator does, for the commands in hints."""

    @property
    def manner(self) -> Manner: ...

    def look(self, deadline: Deadline) -> Observation:
        """One round over all nodes. What does not answer is a silence in it."""
        ...

    def again(self, previous: Observation, deadline: Deadline) -> Observation | None:
        """A later round, or None where there is none. Does not wait again for what was slow to be silent."""
        ...

    def first_view(self, deadline: Deadline) -> Observation:
        """Only as much as it takes to have one view: the first seed that gives one, and the silences before it."""
        ...


class LiveSight:
    """Asks the servers, through one door."""

    def __init__(self, settings: Settings, door: Door, clock: Clock) -> None:
        from rcfail.cluster.parse_nodes import NodesReader

        self._seeds = settings.target.seeds
        self._natmap = settings.natmap
        self.manner = manner_of(settings)
        self._door = door
        self._also: tuple[Endpoint, ...] = ()
        self._clock = clock
        self._reader = NodesReader()  # one for all rounds: what is said alike is kept once

    def look(self, deadline: Deadline) -> Observation:
        from rcfail.wire.crawl import crawl

        return crawl(
            self._seeds,
            self._door,
            deadline=deadline,
            clock=self._clock,
            reader=self._reader,
            also=self._also,
            here=self._ahead(deadline),
            natmap=self._natmap,
        )

    def _ahead(self, _: Deadline) -> tuple[Endpoint, ...]:
        """Who was asked already."""
        return ()

    def again(self, previous: Observation, deadline: Deadline) -> Observation | None:
        from rcfail.wire.crawl import look_again

        return look_again(previous, self._door, deadline=deadline, clock=self._clock, reader=self._reader)

    def first_view(self, deadline: Deadline) -> Observation:
        from rcfail.wire.asks import Questioner

        questioner = Questioner(self._door, self._reader, self._clock)
        taken_at, began_s = self._clock.unix_ms(), self._clock.monotonic_s()
        answers: list[Answer] = []
        silences: list[Silence] = []
        for seed in self._seeds:
            reply = questioner.ask(seed, deadline)
            if isinstance(reply, Silence):
                silences.append(reply)
                continue
            answers.append(reply)
            if reply.nodes and reply.nodes.table.beliefs:
                break
        elapsed_ms = round((self._clock.monotonic_s() - began_s) * 1000)
        return Observation(taken_at, elapsed_ms, self._seeds, tuple(answers), tuple(silences))


class LastingSight(LiveSight):
    """For many rounds: connections stay open between them, and a round begins at whoever answered the last one too.

    So it outlives its seeds. Whom nobody lists any more is not asked again.
    """

    def __init__(self, live: LiveSight) -> None:
        from rcfail.wire.kept import KeptDoor

        vars(self).update(vars(live))
        self._door = self._kept = KeptDoor(live._door)

    def look(self, deadline: Deadline) -> Observation:
        found = super().look(deadline)
        self._kept.end_round()
        if self._reader.is_full:
            from rcfail.cluster.parse_nodes import NodesReader

            self._reader = NodesReader()
        # `expected` is whom others list there: a node that was taken out of the cluster is not asked for ever.
        self._also = tuple(each.endpoint for each in found.answers if each.expected) or self._also
        return found

    def _ahead(self, deadline: Deadline) -> tuple[Endpoint, ...]:
        return self._kept.ask_ahead((*self._seeds, *self._also), deadline)

    def close(self) -> None:
        self._kept.close()


@contextmanager
def lasting(sight: Sight) -> Iterator[Sight]:
    """The same way for many rounds; what it kept open is closed at the end."""
    if not isinstance(sight, LiveSight):
        yield sight
        return
    kept = LastingSight(sight)
    try:
        yield kept
    finally:
        kept.close()


class RecordedSight:
    """Reads a saved observation: nothing is asked, and nothing changes between two looks."""

    manner = PLAIN

    def __init__(self, path: str) -> None:
        self._path = path

    def look(self, _: Deadline) -> Observation:
        from rcfail.wire.record import load

        return load(self._path)

    def again(self, _: Observation, __: Deadline) -> Observation | None:
        return None

    def first_view(self, deadline: Deadline) -> Observation:
        return self.look(deadline)


def open_sight(settings: Settings, env: Mapping[str, str] = os.environ, clock: Clock = SYSTEM_CLOCK) -> Sight:
    """The way to the cluster that the user named. Raises UsageFault where none was, and what secrets raise."""
    if settings.target.record is not None:
        return RecordedSight(settings.target.record)
    if not settings.target.seeds:
        name = settings.target.name
        raise UsageFault(
            f"cluster {name} has no seeds in the config file" if name else "no seed was given: which cluster?",
            "Give it seeds, or name any node of it here: -s HOST:PORT."
            if name
            else "Name any node of it: -s HOST:PORT, or set RCFAIL_SEEDS; or a cluster of the config file: -c NAME. "
            "For one of your own: rcfail lab up.",
        )
    return LiveSight(settings, open_door(settings, env, clock), clock)


def open_door(settings: Settings, env: Mapping[str, str] = os.environ, clock: Clock = SYSTEM_CLOCK) -> Door:
    """The way to single nodes, as the user that was named. Raises what secrets and TLS files raise."""
    from rcfail.settings.secrets import read_secret
    from rcfail.wire.door import Door
    from rcfail.wire.secret import Credentials, Secret

    password = read_secret(settings.target.secret, env)
    user = settings.target.user
    # A user without a password exists (ACL `nopass`), and any password will do for it.
    secret = Secret(password or "") if password is not None or user else None
    guard = _guard(settings.tls) if settings.tls.enabled else None
    return Door(Credentials(user, secret), _bounds(settings), clock, guard=guard)


def open_bare_door(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Door:
    """The same for a question that needs no right and tells no secret: no password, and TLS with whomever it is.

    Nothing that the user could set wrong, or that could be out of date, is read.
    """
    from rcfail.wire.door import Door
    from rcfail.wire.tls import Guard, Terms

    terms = Terms(server_name=settings.tls.server_name, check_chain=False, check_name=False)
    guard = Guard(terms) if settings.tls.enabled else None
    return Door(bounds=_bounds(settings), clock=clock, guard=guard)


def _bounds(settings: Settings) -> Bounds:
    from rcfail.wire.bounds import Bounds

    limits = settings.limits
    return Bounds(connect_s=limits.connect_s, read_s=limits.read_s, resolve_s=limits.read_s)


def manner_of(settings: Settings) -> Manner:
    """What the operator's next commands need again: rcfail what stood on the command line, redis-cli everything."""
    tls, target = settings.tls, settings.target
    values = (
        ("--cacert", tls.ca_file),
        ("--cacertdir", tls.ca_dir),
        ("--cert", tls.cert_file),
        ("--key", tls.key_file),
        ("--sni", tls.server_name),
    )
    words = ["--tls", *(word for name, value in values if value for word in (name, value))] if tls.enabled else []
    if tls.enabled and tls.verify is Verify.NONE:
        words.append("--insecure")
    if target.user:
        words += ["--user", target.user]
    if target.secret.kind is not SecretKind.NONE and target.secret.name != "REDISCLI_AUTH":
        words.append("--askpass")
    return Manner(_pasteable(settings.repeated), _pasteable(words))


def _pasteable(words: Sequence[str]) -> str:
    if not words:
        return ""
    import shlex

    return shlex.join(words)


def _guard(tls: Tls) -> Guard:
    """Raises ConfigFault for a file that cannot be used."""
    from rcfail.settings.secrets import passphrase_asker
    from rcfail.wire.tls import Guard, Terms

    terms = Terms(
        ca_file=tls.ca_file,
        ca_dir=tls.ca_dir,
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        server_name=tls.server_name,
        check_chain=tls.verify is not Verify.NONE,
        check_name=tls.verify is Verify.FULL,
    )
    return Guard(terms, passphrase_asker())


def deadline_of(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Deadline:
    return Deadline.after(settings.limits.deadline_s, clock)

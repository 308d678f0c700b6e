"""The form of a record: an Observation as JSON values and back, each shared table and belief once.

Reading checks the type of every value: a file may come from anywhere, and what is built from it must be as
sound as what was observed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from rcfail.cluster.logins import AclUser, PrimaryLogin
from rcfail.cluster.natmap import NO_NATMAP, Natmap, fault_in
from rcfail.cluster.nouns import (
    SLOT_COUNT,
    Address,
    Belief,
    BusLink,
    Endpoint,
    Link,
    NodeId,
    NodesReply,
    NodeTable,
    Problem,
    Role,
)
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Observation, Silence, SilenceReason

SCHEMA = "rcfail-record/1"
_MOST_BITS = 67  # of 20 digits

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Malformed(Exception):
    """The text says what is wrong, and where."""


def observation_to(observation: Observation) -> dict[str, Any]:
    """As JSON values. Tables and beliefs that are one object are written once and pointed at by their number."""
    tables: dict[int, NodeTable] = {}
    for answer in (*observation.answers, *observation.doubles):
        if answer.nodes is not None:
            tables.setdefault(id(answer.nodes.table), answer.nodes.table)
    beliefs = {id(belief): belief for table in tables.values() for belief in table.beliefs}
    belief_numbers = {key: number for number, key in enumerate(beliefs)}
    table_numbers = {key: number for number, key in enumerate(tables)}
    return {
        "schema": SCHEMA,
        "taken_at_unix_ms": observation.taken_at_unix_ms,
        "elapsed_ms": observation.elapsed_ms,
        "seeds": [list(seed) for seed in observation.seeds],
        "beliefs": [_belief_to(belief) for belief in beliefs.values()],
        "tables": [_table_to(table, belief_numbers) for table in tables.values()],
        "answers": [_answer_to(answer, table_numbers) for answer in observation.answers],
        "silences": [_silence_to(silence) for silence in observation.silences],
        "deserted": [_silence_to(silence) for silence in observation.deserted],
        "doubles": [_answer_to(answer, table_numbers) for answer in observation.doubles],
        "natmap": list(observation.natmap.rules),
    }


def _belief_to(belief: Belief) -> dict[str, Any]:
    address = belief.address
    return {
        "id": belief.node_id,
        "address": [address.host, address.port, address.bus_port, address.hostname],
        "flags": list(belief.flags),
        "role": belief.role,
        "primary_id": belief.primary_id,
        "config_epoch": belief.config_epoch,
        "link": belief.link,
        "slots": [list(slots) for slots in belief.slots],
        "migrating": [list(slot) for slot in belief.migrating],
        "importing": [list(slot) for slot in belief.importing],
        "aux": [list(pair) for pair in belief.aux],
        "line": belief.line,
    }


def _table_to(table: NodeTable, numbers: Mapping[int, int]) -> dict[str, Any]:
    return {
        "beliefs": [numbers[id(belief)] for belief in table.beliefs],
        "problems": [[problem.line_number, problem.line, problem.reason] for problem in table.problems],
    }


def _answer_to(answer: Answer, numbers: Mapping[int, int]) -> dict[str, Any]:
    nodes = answer.nodes
    return {
        "endpoint": list(answer.endpoint),
        "expected": answer.expected,
        "asked_at_unix_ms": answer.asked_at_unix_ms,
        "took_ms": answer.took_ms,
        "info": answer.info,
        "cluster_info": answer.cluster_info,
        "nodes": nodes
        and {
            "table": numbers[id(nodes.table)],
            "myself": list(nodes.myself),
            "pulses": nodes.pulses,
            "odd_text": nodes.odd_text,
        },
        "links": None if answer.links is None else [_link_to(link) for link in answer.links],
        "config": None if answer.config is None else dict(answer.config),
        "slot_migrations": None if answer.slot_migrations is None else [dict(each) for each in answer.slot_migrations],
        "users": None if answer.users is None else [_user_to(user) for user in answer.users],
        "login": answer.login and [answer.login.user, answer.login.password],
        "absences": {ask: [absence.kind, absence.text] for ask, absence in answer.absences.items()},
    }


def _user_to(user: AclUser) -> list[Any]:
    return [user.name, user.enabled, user.open, user.rules, list(user.passwords)]


def _link_to(link: BusLink) -> list[Any]:
    return [link.direction, link.node_id, link.created_unix_ms, link.events, link.send_buffer_bytes]


def _silence_to(silence: Silence) -> dict[str, Any]:
    return {
        "endpoint": silence.endpoint and list(silence.endpoint),
        "expected": silence.expected,
        "reason": silence.reason,
        "text": silence.text,
        "waited_ms": silence.waited_ms,
    }


def observation_from(document: Mapping[str, Any]) -> Observation:
    """Raises Malformed when a value is missing or has another type than it is saved with."""
    beliefs = _many(_belief, document, "beliefs")
    tables = _many(lambda value: _table(value, beliefs), document, "tables")
    return Observation(
        taken_at_unix_ms=_number(document, "taken_at_unix_ms"),
        elapsed_ms=_number(document, "elapsed_ms"),
        seeds=_many(_endpoint, document, "seeds"),
        answers=_many(lambda value: _answer(value, tables), document, "answers"),
        silences=_many(_silence, document, "silences"),
        # A record of before this was saved has none.
        deserted=_many(_silence, document, "deserted") if "deserted" in document else (),
        doubles=_many(lambda value: _answer(value, tables), document, "doubles") if "doubles" in document else (),
        natmap=Natmap(_many(_natmap_rule, document, "natmap")) if "natmap" in document else NO_NATMAP,
    )


def _belief(value: Any) -> Belief:
    fields = _fields(value)
    return Belief(
        node_id=NodeId(_text(fields, "id")),
        address=Address(*_row(_at(fields, "address"), str, int, (int, None), str)),
        flags=_many(_a_text, fields, "flags"),
        role=_word(Role, _text(fields, "role")),
        primary_id=_node_id(fields, "primary_id"),
        config_epoch=_number(fields, "config_epoch"),
        link=_word(Link, _text(fields, "link")),
        slots=_many(_slots, fields, "slots"),
        migrating=_many(lambda each: _row(each, int, str), fields, "migrating"),
        importing=_many(lambda each: _row(each, int, str), fields, "importing"),
        aux=_many(lambda each: _row(each, str, str), fields, "aux"),
        line=_text(fields, "line"),
    )


def _slots(value: Any) -> tuple[int, int]:
    first, last = _row(value, int, int)
    if not 0 <= first <= last < SLOT_COUNT:
        raise Malformed(f"{first} to {last} are no slots")
    return first, last


def _table(value: Any, known: Sequence[Belief]) -> NodeTable:
    fields = _fields(value)
    beliefs = _many(lambda number: _numbered(known, number), fields, "beliefs")
    problems = _many(lambda each: Problem(*_row(each, int, str, str)), fields, "problems")
    # The first line of an id stands, so the later ones are put in before it.
    return NodeTable(beliefs, problems, {belief.node_id: belief for belief in reversed(beliefs)})


def _answer(value: Any, tables: Sequence[NodeTable]) -> Answer:
    fields = _fields(value)
    return Answer(
        endpoint=_endpoint(_at(fields, "endpoint")),
        expected=_node_id(fields, "expected"),
        asked_at_unix_ms=_number(fields, "asked_at_unix_ms"),
        took_ms=_number(fields, "took_ms"),
        info=_maybe(_a_text, _at(fields, "info")),
        cluster_info=_maybe(_a_text, _at(fields, "cluster_info")),
        nodes=_maybe(lambda each: _reply(each, tables), _at(fields, "nodes")),
        links=_maybe(lambda _: _many(_link, fields, "links"), _at(fields, "links")),
        config=_maybe(_texts_by_name, _at(fields, "config")),
        slot_migrations=_maybe(
            lambda _: _many(_texts_by_name, fields, "slot_migrations"), _at(fields, "slot_migrations")
        ),
        # A record of before these were asked has none.
        users=_maybe(lambda _: _many(_user, fields, "users"), fields.get("users")),
        login=_maybe(lambda value: PrimaryLogin(*_row(value, str, str)), fields.get("login")),
        absences={_word(Ask, ask): _absence(absence) for ask, absence in _fields(_at(fields, "absences")).items()},
    )


def _user(value: Any) -> AclUser:
    name, enabled, is_open, rules, passwords = _row(value, str, bool, bool, str, list)
    return AclUser(name, enabled, is_open, rules, tuple(_a_text(each) for each in passwords))


def _reply(value: Any, tables: Sequence[NodeTable]) -> NodesReply:
    fields = _fields(value)
    table = _numbered(tables, _at(fields, "table"))
    pulses = _text(fields, "pulses")
    numbers = pulses.split(" ") if pulses else []
    if len(numbers) != 2 * len(table.beliefs) or not all(map(_is_unix_ms, numbers)):
        raise Malformed("pulses do not fit their table")
    return NodesReply(
        table, tuple(NodeId(each) for each in _many(_a_text, fields, "myself")), pulses, _text(fields, "odd_text")
    )


def _is_unix_ms(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _link(value: Any) -> BusLink:
    return BusLink(*_row(value, str, str, int, str, int))


def _absence(value: Any) -> Absence:
    kind, text = _row(value, str, str)
    return Absence(_word(AbsenceKind, kind), text)


def _silence(value: Any) -> Silence:
    fields = _fields(value)
    return Silence(
        endpoint=_maybe(_endpoint, _at(fields, "endpoint")),
        expected=_node_id(fields, "expected"),
        reason=_word(SilenceReason, _text(fields, "reason")),
        text=_text(fields, "text"),
        waited_ms=_number(fields, "waited_ms"),
    )


def _endpoint(value: Any) -> Endpoint:
    return Endpoint(*_row(value, str, int))


def _natmap_rule(value: Any) -> str:
    if not isinstance(value, str) or fault_in(value):
        raise Malformed("natmap holds what is no rule")
    return value


def _at(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise Malformed(f"{name} is missing")
    return fields[name]


def _fields(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed("an object is expected where there is none")
    return value


def _many(read: Callable[[Any], T], fields: Mapping[str, Any], name: str) -> tuple[T, ...]:
    values = _at(fields, name)
    if not isinstance(values, list):
        raise Malformed(f"{name} is no list")
    return tuple([read(value) for value in values])


def _maybe(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _row(value: Any, *types: Any) -> tuple[Any, ...]:
    """A list of exactly these types, as a tuple. `type` and not isinstance: true is no number here."""
    if not isinstance(value, list) or len(value) != len(types):
        raise Malformed(f"a list of {len(types)} values is expected where there is none")
    for item, wanted in zip(value, types, strict=True):
        choice = wanted if isinstance(wanted, tuple) else (wanted,)
        if not (type(item) in choice or (item is None and None in choice)):
            raise Malformed(f"{str(item)[:40]!r} has the wrong type")
        if type(item) is int and item.bit_length() > _MOST_BITS:
            raise Malformed(f"a number of {item.bit_length()} bits is larger than any that a server gives")
    return tuple(value)


def _a_text(value: Any) -> str:
    return str(_row([value], str)[0])


def _text(fields: Mapping[str, Any], name: str) -> str:
    return _a_text(_at(fields, name))


def _number(fields: Mapping[str, Any], name: str) -> int:
    return int(_row([_at(fields, name)], int)[0])


def _node_id(fields: Mapping[str, Any], name: str) -> NodeId | None:
    value = _at(fields, name)
    return None if value is None else NodeId(_a_text(value))


def _numbered(known: Sequence[T], number: Any) -> T:
    if type(number) is not int or not 0 <= number < len(known):
        raise Malformed(f"there is no number {str(number)[:40]!r} to point at")
    return known[number]


def _word(kind: type[E], text: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise Malformed(f"{text[:40]!r} is no {kind.__name__}") from None


def _texts_by_name(value: Any) -> Mapping[str, str]:
    return {name: _a_text(text) for name, text in _fields(value).items()}

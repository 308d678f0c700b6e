"""Asking whether a change is permitted changes nothing, on any server, whatever the node is."""

from __future__ import annotations

from itertools import product

import pytest

from rcfail.change.checks import CheckVerdict
from rcfail.change.recover.action import Send
from rcfail.clock import Deadline
from rcfail.practice.lab.register import NodeEntry
from rcfail.runs.permitted import permitted
from rcfail.session import open_door
from rcfail.settings.sections import Settings, Target
from rcfail.wire.door import Door
from rcfail.wire.secret import Credentials, Secret
from tests.real.conftest import LabMaker
from tests.real.servers import RunningLab, ServerUnderTest

VERBS = ("FORGET", "REPLICATE", "MEET", "SETSLOT", "RESET", "FAILOVER", "ADDSLOTS", "DELSLOTS")
WITHIN_S = 30.0


def sends(lab: RunningLab, *verbs: str) -> list[Send]:
    """Each to a primary and to a replica, with words that would do harm if they were sent."""
    pair: tuple[NodeEntry, ...] = (lab.primaries[0], lab.replicas[0])
    return [
        Send(node.node_id, node.endpoint, ("CLUSTER", verb, lab.primaries[1].node_id))
        for node, verb in product(pair, verbs)
    ]


def facts(lab: RunningLab) -> list[tuple[object, ...]]:
    return [
        (each.node_id, each.role, each.primary_id, each.slots, each.config_epoch, each.migrating, each.importing)
        for node in lab.nodes
        for each in sorted(lab.view(node).beliefs, key=lambda belief: belief.node_id)
    ]


@pytest.mark.every_server
def test_asking_changes_nothing(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab(3, 1, node_timeout_ms=5000)
    one.say(one.primaries[0], "SET", "{06S}k", "v")
    verbs = VERBS if server.label.startswith("redis-6") else (*VERBS, "ADDSLOTSRANGE", "DELSLOTSRANGE")
    before = facts(one)
    door = open_door(Settings(Target(one.entry.seeds)))
    check = permitted(door, sends(one, *verbs), Deadline.after(WITHIN_S), dry=False)
    assert check.verdict is CheckVerdict.PASS, check
    assert facts(one) == before
    assert one.ask(one.primaries[0], "GET", "{06S}k") == "v"


@pytest.mark.every_server
def test_each_command_that_a_user_lacks_is_named_with_its_node(lab: LabMaker, server: ServerUnderTest) -> None:
    one = lab(3, 1, node_timeout_ms=5000)
    for node in one.nodes:
        one.say(node, "ACL", "SETUSER", "anna", "on", ">pw", "~*", "+@all")
    old = server.label.startswith("redis-6")  # a sub-command cannot be taken away there
    rights = ("-cluster", "+cluster|myid", "+cluster|meet") if old else ("-cluster|forget", "-cluster|reset")
    one.say(one.replicas[0], "ACL", "SETUSER", "anna", *rights)
    door = Door(Credentials("anna", Secret("pw")))
    wanted = sends(one, "MEET", "FORGET", "RESET")
    check = permitted(door, wanted, Deadline.after(WITHIN_S), dry=False)
    place = one.replicas[0].endpoint
    assert check.verdict is CheckVerdict.FAIL
    assert check.evidence == f"not permitted: CLUSTER FORGET at {place} and CLUSTER RESET at {place}"
    dry = permitted(door, wanted, Deadline.after(WITHIN_S), dry=True)
    assert dry.verdict is (CheckVerdict.WARN if old else CheckVerdict.FAIL), dry

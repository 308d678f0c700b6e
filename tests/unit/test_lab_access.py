"""How a lab is reached: what fits together, what stands in redis.conf, and what a shell is told."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from rcfail.cluster.vitals import Flavour
from rcfail.errors import LabFault, UsageFault
from rcfail.practice.lab import certs, names
from rcfail.practice.lab.access import ADMIN, PLAIN, REPLICATION, Access, ClientCerts, EndpointType
from rcfail.practice.lab.conf import conf_text, conf_value
from rcfail.practice.lab.environment import leftovers, variables
from rcfail.practice.lab.register import LabEntry, Register
from rcfail.practice.lab.users import make_users, password_file, password_of
from rcfail.practice.lab.wish import Wish
from tests.unit.test_lab_conf import server
from tests.unit.test_lab_register import entry, node


def lab_at(folder: Path, access: Access) -> LabEntry:
    nodes = tuple(replace(node(number), folder=str(folder / f"n{number}")) for number in (1, 2))
    return replace(entry(), access=access, nodes=nodes)


def options(lab: LabEntry, *version: int) -> dict[str, str]:
    text = conf_text(lab, lab.nodes[0], Wish(access=lab.access), server(Flavour.REDIS, *version))
    return dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("user "))


@pytest.mark.parametrize("name", ["default", ADMIN, REPLICATION, "two words", "-x", "x" * 33, ">secret", "a\nb", "ä"])
def test_a_user_must_be_one_that_redis_conf_can_name(name: str) -> None:
    with pytest.raises(UsageFault):
        Access(user=name)


def test_host_names_can_only_be_sent_where_there_are_some() -> None:
    with pytest.raises(UsageFault, match="no host names"):
        Access(endpoint_type=EndpointType.HOSTNAME)


@pytest.mark.parametrize(
    ("access", "line"),
    [
        (Access(tls=True), "tls-port 1"),
        (Access(tls=True), "TLS-AUTH-CLIENTS no"),
        (Access(user="me"), "requirepass x"),
        (Access(user="me"), "user x on nopass"),
        (Access(hostnames=True), "cluster-announce-hostname x"),
    ],
)
def test_what_the_lab_sets_itself_is_not_set_twice(access: Access, line: str) -> None:
    assert Wish(conf=(line,)).conf == (line,)
    with pytest.raises(UsageFault, match="the lab sets"):
        Wish(conf=(line,), access=access)


def test_two_ports_a_node_need_a_block_of_twice_the_size() -> None:
    assert Wish(access=Access(tls=True)).port_count == 2 * Wish().port_count
    assert Wish(access=Access(tls=True, tls_only=True)).port_count == Wish().port_count
    Wish(base_port=22760)
    with pytest.raises(UsageFault, match="--base-port"):
        Wish(base_port=22760, access=Access(tls=True))


def test_over_tls_the_bus_and_replication_are_secured_too(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, Access(tls=True, tls_only=True, client_certs=ClientCerts.OPTIONAL))
    found = options(lab, 7, 0)
    assert (found["port"], found["tls-port"]) == ("0", "7000")
    assert (found["tls-cluster"], found["tls-replication"], found["tls-auth-clients"]) == ("yes", "yes", "optional")
    assert found["tls-cert-file"] == f'"{tmp_path}/tls/n1.crt"'
    beside = replace(lab, access=Access(tls=True), nodes=(replace(lab.nodes[0], plain_port=7006), lab.nodes[1]))
    assert (options(beside, 7, 0)["port"], options(beside, 7, 0)["tls-port"]) == ("7006", "7000")


def test_a_plain_lab_knows_nothing_of_tls_or_users(tmp_path: Path) -> None:
    text = conf_text(lab_at(tmp_path, PLAIN), node(1), Wish(), server(Flavour.REDIS, 6, 2, 14))
    assert not [
        line
        for line in text.splitlines()
        if line.startswith(("tls", "user", "masteruser", "cluster-announce-hostname"))
    ]


def test_nodes_get_digests_of_passwords_and_replicas_the_one_that_they_say(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, Access(user="me"))
    make_users(lab)
    text = conf_text(lab, lab.nodes[0], Wish(access=lab.access), server(Flavour.REDIS, 8, 2))
    assert "user default off\n" in text
    assert password_of(lab, ADMIN) not in text
    assert password_of(lab, "me") not in text
    assert conf_value(text, "masteruser") == REPLICATION
    assert conf_value(text, "masterauth") == password_of(lab, REPLICATION)
    for user in (ADMIN, REPLICATION, "me"):
        assert stat.S_IMODE(password_file(lab, user).stat().st_mode) == 0o600
        assert len(password_of(lab, user)) >= 32


def test_a_password_file_that_is_gone_is_named(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, Access(user="me"))
    with pytest.raises(LabFault, match=str(password_file(lab, "me"))):
        password_of(lab, "me")


def test_a_shell_is_told_places_and_never_a_password(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, Access(tls=True, user="me"))
    make_users(lab)
    told = variables(lab)
    assert told["RCFAIL_SEEDS"] == "127.40.1.1:7000,127.40.2.1:7001"
    assert (told["RCFAIL_USER"], told["RCFAIL_TLS"]) == ("me", "yes")
    assert Path(told["RCFAIL_PASSWORD_FILE"]).read_text().strip() == password_of(lab, "me")
    assert {"RCFAIL_CACERT", "RCFAIL_CERT", "RCFAIL_KEY"} <= set(told)
    assert not [value for value in told.values() if password_of(lab, "me") in value]
    open_lab = replace(lab, access=Access(tls=True, client_certs=ClientCerts.NO))
    assert not {"RCFAIL_CERT", "RCFAIL_KEY", "RCFAIL_USER"} & set(variables(open_lab))


def test_what_another_cluster_left_in_the_shell_is_taken_back(tmp_path: Path) -> None:
    shell = {"RCFAIL_TLS": "yes", "RCFAIL_PASSWORD": "x", "RCFAIL_SEEDS": "x", "RCFAIL_CLUSTER": "x", "HOME": "x"}
    plain = lab_at(tmp_path, PLAIN)
    assert leftovers(plain, shell, keep_password=False) == ("RCFAIL_CLUSTER", "RCFAIL_PASSWORD", "RCFAIL_TLS")
    assert leftovers(plain, shell, keep_password=True) == ("RCFAIL_CLUSTER", "RCFAIL_TLS")
    assert leftovers(plain, {}, keep_password=False) == ()
    assert leftovers(lab_at(tmp_path, Access(tls=True)), shell, keep_password=False) == (
        "RCFAIL_CLUSTER",
        "RCFAIL_PASSWORD",
    )


def test_an_entry_keeps_how_its_lab_is_reached(tmp_path: Path) -> None:
    register = Register(tmp_path)
    access = Access(True, True, ClientCerts.NO, "me", True, True, EndpointType.HOSTNAME)
    told = replace(entry(), access=access, nodes=(replace(node(1), hostname="n1.x.localhost", plain_port=7006),))
    register.create(told)
    assert register.read("x") == told


def test_an_entry_of_an_earlier_version_is_a_plain_lab(tmp_path: Path) -> None:
    register = Register(tmp_path)
    register.create(entry())
    path = tmp_path / "x" / "lab.json"
    old = json.loads(path.read_text())
    del old["access"]
    for each in old["nodes"]:
        del each["hostname"], each["plain_port"]
    path.write_text(json.dumps(old))
    assert register.read("x") == entry()


def test_no_openssl_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LabFault, match="none on PATH") as caught:
        certs.must_have_openssl()
    assert "install openssl" in caught.value.hint


def test_an_openssl_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\necho usage: many words >&2\necho unknown option -pkeyopt >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(LabFault, match="openssl genpkey failed: unknown option -pkeyopt"):
        certs.make_certificates(lab_at(tmp_path, Access(tls=True)))


def test_names_stand_below_localhost_and_have_their_line_for_etc_hosts(tmp_path: Path) -> None:
    lab = lab_at(tmp_path, Access(hostnames=True))
    lab = replace(lab, nodes=tuple(replace(each, hostname=names.name_of(each.name, lab.name)) for each in lab.nodes))
    names.write_hosts(lab)
    assert (tmp_path / "hosts").read_text() == "127.40.1.1 n1.x.localhost\n127.40.2.1 n2.x.localhost\n"
    # On no machine does such a name lead to an address of a lab of this test, so what to do is said.
    assert [str(tmp_path / "hosts") in note for note in names.unresolved(lab)] == [True]

"""TLS through the door: who is trusted, by which name, and what each failure is called."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcfail.clock import Deadline
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.observation import SilenceReason
from rcfail.errors import ConfigFault
from rcfail.wire.bounds import Bounds
from rcfail.wire.crawl import crawl
from rcfail.wire.door import Door
from rcfail.wire.refusals import Refusal
from rcfail.wire.replies import Reply
from rcfail.wire.secret import Credentials, Secret
from rcfail.wire.tls import Guard, Terms
from tests.unit.certificates import NEEDS_OPENSSL, PASSPHRASE, Certificates, SecuredServer
from tests.unit.wire_servers import Call, OddServer, serving, speaker
from tests.unit.wire_world import Servers
from tests.unit.world import World

pytestmark = NEEDS_OPENSSL

SLACK_S = 20.0  # for a loaded machine; what hangs would take far longer
PONG = speaker(lambda _: b"+PONG\r\n")


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("pems"))


def terms(pems: Certificates, shows: str | None = None, **more: object) -> Terms:
    own = {"cert_file": pems.path(f"{shows}.crt"), "key_file": pems.path(f"{shows}.key")} if shows else {}
    return Terms(**{"ca_file": pems.path("ca.crt"), **own, **more})  # type: ignore[arg-type]


def door_for(wanted: Terms, connect_s: float = 5.0, read_s: float = 5.0) -> Door:
    return Door(bounds=Bounds(connect_s=connect_s, read_s=read_s, resolve_s=read_s), guard=Guard(wanted))


def ping(door: Door, endpoint: Endpoint, seconds: float = 30.0) -> Reply:
    return door.read(endpoint, [("PING",)], deadline=Deadline.after(seconds))[0]


def why(reply: Reply) -> tuple[SilenceReason | None, str]:
    assert isinstance(reply, Refusal), reply
    return reply.silence, reply.text


@contextlib.contextmanager
def secured(pems: Certificates, **more: object) -> Iterator[SecuredServer]:
    server = SecuredServer(pems, more.pop("behave", PONG), **more)  # type: ignore[arg-type]
    with serving(server):
        yield server


def test_a_trusted_certificate_for_the_address_is_taken(pems: Certificates) -> None:
    with secured(pems) as server:
        assert ping(door_for(terms(pems)), server.endpoint) == "PONG"
        assert server.asked_for == [None], "an address is no name to send"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_shown_where_one_is_wanted(pems: Certificates, newest: ssl.TLSVersion) -> None:
    with secured(pems, wants="ca", newest=newest) as server:
        assert ping(door_for(terms(pems, "client")), server.endpoint) == "PONG"


def test_no_client_certificate_is_told(pems: Certificates) -> None:
    with secured(pems, wants="ca") as server:
        reason, text = why(ping(door_for(terms(pems)), server.endpoint))
    assert (reason, text) == (SilenceReason.TLS_CLIENT_CERT, "it was shown none")


def test_a_client_certificate_of_another_authority_is_told(pems: Certificates) -> None:
    with secured(pems, wants="ca", newest=ssl.TLSVersion.TLSv1_2) as server:
        reason, text = why(ping(door_for(terms(pems, "stranger")), server.endpoint))
    assert reason is SilenceReason.TLS_CLIENT_CERT
    assert text == "it refuses ours: unknown ca"


@pytest.mark.parametrize(
    ("shows", "reason", "said"),
    [
        ("stranger", SilenceReason.TLS_UNTRUSTED, "unable to get local issuer certificate"),
        ("expired", SilenceReason.TLS_EXPIRED, "it is expired"),
        ("name", SilenceReason.TLS_NAME, "it is for n1.example, *.wild.example, not for 127.0.0.1"),
        ("common", SilenceReason.TLS_NAME, "it is for common.example, not for 127.0.0.1"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(
    pems: Certificates, shows: str, reason: SilenceReason, said: str
) -> None:
    with secured(pems, shows=shows) as server:
        assert why(ping(door_for(terms(pems)), server.endpoint)) == (reason, said)
        assert ping(door_for(terms(pems, check_chain=False, check_name=False)), server.endpoint) == "PONG"


def test_without_a_file_the_authorities_of_the_system_are_trusted_and_no_other(pems: Certificates) -> None:
    with secured(pems) as server:
        assert why(ping(door_for(Terms()), server.endpoint))[0] is SilenceReason.TLS_UNTRUSTED


@pytest.mark.parametrize(
    ("shows", "name", "fits"),
    [
        ("name", "n1.example", True),
        ("name", "N1.Example.", True),
        ("name", "n2.example", False),
        ("name", "a.wild.example", True),
        ("name", "a.b.wild.example", False),
        ("name", "wild.example", False),
        ("name", ".wild.example", False),
        ("name", "127.0.0.1", False),
        ("common", "common.example", True),
        ("address", "::1", True),
        ("address", "0:0:0:0:0:0:0:1", True),
        ("address", "127.0.0.2", False),
        ("address", "address.example", False),
    ],
)
def test_the_name_of_the_user_replaces_all_others(pems: Certificates, shows: str, name: str, fits: bool) -> None:
    with secured(pems, shows=shows) as server:
        reply = ping(door_for(terms(pems, server_name=name)), server.endpoint)
    assert reply == "PONG" if fits else why(reply)[0] is SilenceReason.TLS_NAME


def test_a_name_that_was_learnt_is_sent_and_counts_as_the_address_does(pems: Certificates) -> None:
    with secured(pems, shows="name") as server:
        door = door_for(terms(pems))
        door.names.learn(server.endpoint, "127.0.0.1", "n1.example")
        assert ping(door, server.endpoint) == "PONG"
        assert server.asked_for == ["n1.example"]


@pytest.mark.parametrize("name", ["a name", "-x", "ü.example", "a" * 300, "\x1b[31m", "."])
def test_what_a_view_calls_a_name_may_be_anything(pems: Certificates, name: str) -> None:
    with secured(pems) as server:
        door = door_for(terms(pems))
        door.names.learn(server.endpoint, name, "127.0.0.1")
        assert ping(door, server.endpoint) == "PONG"
        assert server.asked_for == [None]


def test_the_authority_alone_can_be_checked(pems: Certificates) -> None:
    with secured(pems, shows="name") as right, secured(pems, shows="stranger") as wrong:
        door = door_for(terms(pems, check_name=False))
        assert ping(door, right.endpoint) == "PONG"
        assert why(ping(door, wrong.endpoint))[0] is SilenceReason.TLS_UNTRUSTED


def redis_that_waits_for_a_line(call: Call) -> None:
    """As a plain Redis does: a handshake holds a zero byte, behind which it sees no end of a line."""
    while data := call.read():
        if data.startswith(b"PING"):
            call.send(b"-NOAUTH Authentication required.\r\n")


def http(call: Call) -> None:
    call.read()
    call.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("behave", [redis_that_waits_for_a_line, PONG, http])
def test_a_plain_server_is_told_as_such(pems: Certificates, behave: object) -> None:
    server = OddServer(behave)  # type: ignore[arg-type]
    with serving(server):
        assert why(ping(door_for(terms(pems), connect_s=0.5), server.endpoint))[0] is SilenceReason.NOT_TLS


def test_a_server_that_never_shakes_hands_is_frozen_and_bounded(pems: Certificates) -> None:
    server = OddServer(Call.stay)
    with serving(server):
        began = time.monotonic()
        reason, text = why(ping(door_for(terms(pems), connect_s=0.3), server.endpoint))
        assert time.monotonic() - began < SLACK_S
        assert reason is SilenceReason.FROZEN
        assert "handshake" in text
        assert why(ping(door_for(terms(pems)), server.endpoint, seconds=0.2))[0] is SilenceReason.NO_TIME


def test_a_handshake_that_drips_is_bounded_too(pems: Certificates) -> None:
    def drip(call: Call) -> None:
        call.read()
        while call.send(b"\x16\x03\x03\x40\x00"[:1]) and not call.over.wait(0.05):
            pass

    server = OddServer(drip)
    with serving(server):
        began = time.monotonic()
        assert isinstance(ping(door_for(terms(pems), connect_s=0.4), server.endpoint), Refusal)
        assert time.monotonic() - began < SLACK_S


def test_a_server_that_hangs_up_in_the_handshake_has_closed(pems: Certificates) -> None:
    server = OddServer(lambda _: None)
    with serving(server):
        reason, text = why(ping(door_for(terms(pems)), server.endpoint))
    assert reason is SilenceReason.CLOSED
    assert "no more clients" in text


def test_a_secured_server_that_never_answers_is_frozen(pems: Certificates) -> None:
    with secured(pems, behave=Call.stay) as server:
        assert why(ping(door_for(terms(pems), read_s=0.3), server.endpoint))[0] is SilenceReason.FROZEN


def test_too_much_is_too_much_also_by_tls(pems: Certificates) -> None:
    def flood(call: Call) -> None:
        call.read()
        call.send(b"$100000000\r\n")
        while call.send(b"x" * 65536):
            pass

    with secured(pems, behave=flood) as server:
        bounds = Bounds(connect_s=5.0, read_s=20.0, reply_bytes=1_000_000)
        door = Door(bounds=bounds, guard=Guard(terms(pems)))
        assert why(ping(door, server.endpoint))[0] is SilenceReason.TOO_LARGE


def test_plain_words_to_a_tls_port_that_hangs_up_are_told(pems: Certificates) -> None:
    """As a real Redis does: it hangs up without an alert."""

    class Silent(SecuredServer):
        def _serve(self, call: Call) -> None:
            with contextlib.closing(call.sock.dup()) as twin:
                twin.settimeout(5)
                with contextlib.suppress(OSError):
                    if not twin.recv(1, 2).startswith(b"\x16"):  # MSG_PEEK
                        call.sock.close()
                        return
            super()._serve(call)

    server = Silent(pems, PONG, wants="ca")
    with serving(server):
        plain = Door(bounds=Bounds(connect_s=5.0, read_s=5.0))
        assert why(ping(plain, server.endpoint))[0] is SilenceReason.TLS_EXPECTED


def test_a_crawl_verifies_by_the_announced_host_names(pems: Certificates) -> None:
    """The seed is known by its address; the others' certificates are for the names that the views give."""
    world = World.of(3, 0)
    servers = Servers(world)
    for member, shows in zip(world, ("address", "name", "common"), strict=True):
        server = SecuredServer(pems, servers.behaviour_of(member), shows)
        servers.by_id[member.node_id].listener.close()
        servers.by_id[member.node_id] = server
        member.endpoint = server.endpoint
    names = {"b": "n1.example", "c": "common.example"}
    for name, hostname in names.items():
        world[name].hostname = hostname
    with serving(*servers.all):
        observation = crawl([servers.first], door_for(terms(pems)), deadline=Deadline.after(30))
    assert len(observation.answers) == 3
    assert observation.silences == ()


def test_a_seed_that_is_a_name_is_verified_by_it_and_not_by_what_it_resolves_to(pems: Certificates) -> None:
    """Whoever answers for the name server must not choose which certificate counts."""
    world = World.of(1, 0)
    servers = Servers(world)
    (member,) = world
    for shows, reason in (("local", None), ("address", SilenceReason.TLS_NAME)):
        server = SecuredServer(pems, servers.behaviour_of(member), shows)
        member.endpoint = server.endpoint
        with serving(server):
            seed = Endpoint("localhost", server.endpoint.port)
            observation = crawl([seed], door_for(terms(pems)), deadline=Deadline.after(30))
        told = [each.reason for each in observation.silences if each.endpoint == server.endpoint]
        assert told == ([reason] if reason else [])
        assert bool(observation.answers) is (reason is None)
        assert set(server.asked_for) == {"localhost"}
    for each in servers.all:
        each.listener.close()


def test_a_directory_of_authorities_is_trusted(pems: Certificates, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Path(pems.path("ca.crt")).read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True, timeout=60)
    with secured(pems) as server:
        assert ping(door_for(Terms(ca_dir=str(tmp_path))), server.endpoint) == "PONG"


def test_no_password_goes_to_whom_the_certificate_does_not_name(pems: Certificates) -> None:
    with secured(pems, shows="name") as server:
        door = Door(Credentials("ops", Secret("hunter2")), guard=Guard(terms(pems)))
        assert why(ping(door, server.endpoint))[0] is SilenceReason.TLS_NAME
        assert all(b"hunter2" not in call.received for call in server.calls)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ca_file": "/nonexistent/ca"}, "CA file /nonexistent/ca: no such file"),
        ({"ca_file": "FOLDER"}, "is a directory"),
        ({"ca_file": "ca.key"}, "holds no certificate"),
        ({"ca_dir": "/nonexistent/dir"}, "is no directory"),
        ({"cert_file": "/nonexistent/cert", "key_file": "client.key"}, "certificate /nonexistent/cert: no such file"),
        ({"cert_file": "client.crt", "key_file": "/nonexistent/key"}, "key /nonexistent/key: no such file"),
        ({"cert_file": "client.crt", "key_file": "name.key"}, "does not belong to the certificate"),
        ({"cert_file": "client.key", "key_file": "client.key"}, "holds no certificate"),
        ({"cert_file": "client.crt", "key_file": "name.crt"}, "holds no private key"),
        ({"cert_file": "client.crt"}, "holds no private key"),
        ({"cert_file": "client.crt", "key_file": "locked.key"}, "needs a passphrase, and there is no terminal"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(pems: Certificates, change: dict[str, str], said: str) -> None:
    paths = {name: pems.path("") if file == "FOLDER" else pems.path(file) for name, file in change.items()}
    with pytest.raises(ConfigFault, match=said) as fault:
        Guard(terms(pems, **paths))
    assert fault.value.hint


def test_a_locked_key_is_opened_by_its_passphrase_alone(pems: Certificates) -> None:
    locked = terms(pems, cert_file=pems.path("client.crt"), key_file=pems.path("locked.key"))
    with secured(pems, wants="ca") as server:
        door = Door(guard=Guard(locked, lambda _: PASSPHRASE))
        assert ping(door, server.endpoint) == "PONG"
    with pytest.raises(ConfigFault, match="does not open it"):
        Guard(locked, lambda _: "wrong")
    with pytest.raises(ConfigFault, match="does not open it"):
        Guard(locked, lambda _: None)


def test_nobody_who_speaks_plainly_waits_for_tls_to_be_loaded() -> None:
    code = "import sys, rcfail.wire.crawl, rcfail.commands.health, rcfail.session; print('ssl' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    bare = "import sys, redis.connection; print('ssl' in sys.modules)"
    without = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == without.stdout

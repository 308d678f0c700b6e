"""What one node is asked, in which order, and what its answers become."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rcfail.clock import SYSTEM_CLOCK, Deadline
from rcfail.cluster.logins import PrimaryLogin, refusal
from rcfail.cluster.nouns import BusLink, Endpoint
from rcfail.cluster.observation import Absence, AbsenceKind, Answer, Ask, Silence, SilenceReason
from rcfail.cluster.parse_nodes import NodesReader
from rcfail.wire.asks import LINKS_UP_TO_NODES, Questioner
from rcfail.wire.bounds import Bounds
from rcfail.wire.door import Door
from rcfail.wire.secret import Credentials, Secret
from tests.unit.wire_servers import Behaviour, Call, array, bulk, odd_server, speaker
from tests.unit.wire_world import answer_of
from tests.unit.world import World, node_id

FIRST = [
    "INFO",
    "CLUSTER INFO",
    "CLUSTER NODES",
    "CONFIG GET cluster-[mnpr]*",
    "CONFIG GET cluster-allow-*",
    "CONFIG GET repl-[pt]*",
    "CONFIG GET min-replicas-*",
    "CONFIG GET stop-writes-on-bgsave-error",
    "CONFIG GET save",
    "CONFIG GET appendfsync",
    "CONFIG GET notify-keyspace-events",
    "CONFIG GET timeout",
    "CONFIG GET tcp-keepalive",
    "ACL LIST",
]
NOPERM = b"-NOPERM User bob has no permissions to run the 'x' command\r\n"


def question(endpoint: Endpoint, all_links: bool = False) -> Answer | Silence:
    door = Door(bounds=Bounds(read_s=0.3))
    return Questioner(door, NodesReader(), SYSTEM_CLOCK, all_links).ask(endpoint, Deadline.after(10.0))


class Node:
    """The first member of a world, with some answers replaced; `heard` is what it was asked."""

    def __init__(self, version: str = "8.2.3", shards: int = 3, answers: Mapping[str, bytes] | None = None) -> None:
        self.world = World.of(shards, 0)
        self.world.version = version
        self.member = next(iter(self.world))
        self.answers = answers or {}
        self.heard: list[str] = []

    def serve(self) -> Behaviour:
        def answer(words: list[str]) -> bytes:
            name = " ".join(words)
            self.heard.append(name)
            replaced = [self.answers[key] for key in (name, words[0]) if key in self.answers]
            return replaced[0] if replaced else answer_of(self.world, self.member, words)

        return speaker(answer)

    def ask(self, all_links: bool = False) -> Answer:
        answer = self.ask_any(all_links)
        assert isinstance(answer, Answer)
        return answer

    def ask_any(self, all_links: bool = False) -> Answer | Silence:
        with odd_server(self.serve()) as server:
            return question(server.endpoint, all_links)


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("6.2.14", []),
        ("7.0.15", ["CLUSTER LINKS"]),
        ("8.2.3", ["CLUSTER LINKS"]),
        ("8.1.8", ["CLUSTER LINKS"]),
        ("9.1.2", ["CLUSTER LINKS", "CLUSTER GETSLOTMIGRATIONS"]),
    ],
)
def test_a_node_is_asked_what_its_version_knows(version: str, more: list[str]) -> None:
    """8.1.8 and 9.1.2 are Valkey's, which goes on calling itself Redis 7.2.4 too."""
    node = Node(version)
    answer = node.ask()
    assert node.heard == FIRST + more
    assert (answer.links is None) == ("CLUSTER LINKS" not in more)
    assert (answer.slot_migrations is None) == ("CLUSTER GETSLOTMIGRATIONS" not in more)
    left_out = {Ask.CLUSTER_LINKS, Ask.SLOT_MIGRATIONS} - {Ask(each) for each in more}
    assert {ask: absence.kind for ask, absence in answer.absences.items()} == dict.fromkeys(
        left_out, AbsenceKind.UNSUPPORTED
    )


@pytest.mark.parametrize(("version", "takes"), [("6.2.14", False), ("7.0.15", True), ("9.1.2", True), ("", False)])
def test_who_takes_several_patterns_is_learnt_and_never_sent_what_it_does_not_know(version: str, takes: bool) -> None:
    """Each setting on its own costs a fifth of a look, but an error reply is counted in the server's statistics."""
    node, door = Node(version), Door(bounds=Bounds(read_s=0.3))
    with odd_server(node.serve()) as server:
        for _ in range(2):
            Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(server.endpoint, Deadline.after(10.0))
    assert sum(each.startswith("CONFIG") for each in node.heard) == (11 if takes else 20)
    assert door.all_take_patterns is takes


def test_one_old_server_is_enough_to_ask_all_others_the_old_way() -> None:
    door = Door(bounds=Bounds(read_s=0.3))
    heard = []
    for version in ("8.2.3", "6.2.14", "8.2.3"):
        node = Node(version)
        with odd_server(node.serve()) as server:
            answer = Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(server.endpoint, Deadline.after(10.0))
        assert isinstance(answer, Answer)
        assert answer.config is not None
        heard.append(sum(each.startswith("CONFIG") for each in node.heard))
    # The old one was asked for all at once, did not understand, and was asked again one by one.
    assert heard == [10, 11, 10]


def test_a_large_cluster_is_not_asked_for_its_links_unless_the_caller_wants_them() -> None:
    node = Node(shards=LINKS_UP_TO_NODES + 1)
    assert node.ask().absences[Ask.CLUSTER_LINKS].kind is AbsenceKind.NOT_ASKED
    assert node.heard == FIRST
    assert node.ask(all_links=True).links == ()
    assert Node(shards=LINKS_UP_TO_NODES).ask().links == ()


def test_everything_that_was_said_is_kept() -> None:
    node = Node()
    answer = node.ask()
    assert answer.info == f"# Server\r\n{node.world.info_text(node.member)}"
    assert answer.cluster_info == node.world.cluster_info_text(node.member)
    assert answer.nodes is not None
    assert answer.nodes.myself == (node.member.node_id,)
    assert len(answer.nodes.table.beliefs) == 3
    assert answer.expected is None
    assert answer.config == {
        "cluster-node-timeout": "15000",
        "repl-timeout": "60",
        "min-replicas-to-write": "0",
        "stop-writes-on-bgsave-error": "yes",
        "save": "3600 1",
    }


def test_a_server_that_gives_every_setting_is_not_listened_to() -> None:
    """A proxy may not know patterns; a password that nobody asked for must not get into an observation."""
    everything = [
        "cluster-node-timeout",
        "1",
        "masterauth",
        "secret",
        "requirepass",
        "secret",
        "tls-key-file-pass",
        "x",
    ]
    answer = Node(answers={"CONFIG": array([bulk(word) for word in everything])}).ask()
    assert answer.config == {"cluster-node-timeout": "1"}


def test_links_and_migrations_are_typed() -> None:
    link = {"direction": "to", "node": node_id("b"), "create-time": 1700, "events": "rw", "send-buffer-used": 3}
    words = [word for pair in link.items() for word in pair]
    entry = array([b":%d\r\n" % word if isinstance(word, int) else bulk(str(word)) for word in words])
    migration = array([bulk(word) for word in ("name", "m1", "state", "snapshotting")])
    answers = {"CLUSTER LINKS": array([entry]), "CLUSTER GETSLOTMIGRATIONS": array([migration])}
    answer = Node("9.1.2", answers=answers).ask()
    assert answer.links == (BusLink("to", node_id("b"), 1700, "rw", 3),)
    assert answer.slot_migrations == ({"name": "m1", "state": "snapshotting"},)


@pytest.mark.parametrize("odd", [b"+OK\r\n", b":7\r\n", b"$-1\r\n", array([bulk("x")]), array([array([bulk("x")])])])
def test_replies_of_the_wrong_form_are_told(odd: bytes) -> None:
    names = ("CONFIG", "CLUSTER LINKS", "CLUSTER GETSLOTMIGRATIONS")
    answer = Node("9.1.2", answers=dict.fromkeys(names, odd)).ask()
    assert (answer.config, answer.links, answer.slot_migrations) == (None, None, None)
    kinds = {ask: absence.kind for ask, absence in answer.absences.items()}
    assert kinds == dict.fromkeys((Ask.CONFIG, Ask.CLUSTER_LINKS, Ask.SLOT_MIGRATIONS), AbsenceKind.MALFORMED)


def test_a_number_where_text_belongs_is_told() -> None:
    answer = Node(answers={"INFO": b":7\r\n", "CLUSTER INFO": array([])}).ask()
    assert (answer.info, answer.cluster_info) == (None, None)
    assert answer.absences[Ask.INFO].kind is answer.absences[Ask.CLUSTER_INFO].kind is AbsenceKind.MALFORMED


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("INFO", Ask.INFO),
        ("CLUSTER INFO", Ask.CLUSTER_INFO),
        ("CLUSTER NODES", Ask.CLUSTER_NODES),
        ("CLUSTER LINKS", Ask.CLUSTER_LINKS),
        ("CONFIG", Ask.CONFIG),
    ],
)
def test_one_question_that_the_acl_forbids_is_one_absence(name: str, ask: Ask) -> None:
    answer = Node(answers={name: NOPERM}).ask()
    assert answer.absences[ask] == Absence(AbsenceKind.NOT_PERMITTED, NOPERM[1:-2].decode())
    forbidden = {each for each, absence in answer.absences.items() if absence.kind is AbsenceKind.NOT_PERMITTED}
    assert forbidden - {Ask.CLUSTER_LINKS, Ask.SLOT_MIGRATIONS} <= {ask}


def test_a_server_that_hides_its_version_is_asked_for_links_all_the_same() -> None:
    answer = Node(answers={"INFO": NOPERM}).ask()
    assert answer.links == ()
    assert answer.absences[Ask.SLOT_MIGRATIONS].kind is AbsenceKind.NOT_ASKED


def test_config_that_is_forbidden_in_part_keeps_the_rest() -> None:
    answer = Node(answers={"CONFIG GET repl-[pt]*": NOPERM}).ask()
    assert answer.config is not None
    assert "cluster-node-timeout" in answer.config
    assert Ask.CONFIG not in answer.absences


LOGIN = ["CONFIG GET masteruser", "CONFIG GET masterauth"]
HASH = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # SHA-256 of "x"


class TestLogins:
    def node(self, **answers: bytes) -> Node:
        lines = [bulk("user default on nopass ~* &* +@all"), bulk(f"user app on #{HASH} ~a* +get")]
        found = {"ACL": array(lines), LOGIN[0]: array([bulk("masteruser"), bulk("app")])}
        return Node(answers=found | {LOGIN[1]: array([bulk("masterauth"), bulk("x")])} | answers)

    def ask(self, node: Node, user: str | None, password: str | None) -> Answer:
        door = Door(Credentials(user, None if password is None else Secret(password)), Bounds(read_s=0.3))
        with odd_server(node.serve()) as server:
            answer = Questioner(door, NodesReader(), SYSTEM_CLOCK).ask(server.endpoint, Deadline.after(10.0))
        assert isinstance(answer, Answer)
        return answer

    def test_without_a_password_of_ours_the_nodes_are_not_asked_for_theirs(self) -> None:
        node = self.node()
        answer = self.ask(node, None, None)
        assert not set(LOGIN) & set(node.heard)
        assert answer.login is None
        assert Ask.LOGIN not in answer.absences

    @pytest.mark.parametrize("user", [None, "default"])
    def test_what_is_kept_can_be_compared_and_tells_nothing(self, user: str | None) -> None:
        node = self.node(AUTH=b"+OK\r\n")
        answer = self.ask(node, user, "ours")
        assert answer.users is not None
        assert answer.login is not None
        assert [each.name for each in answer.users] == ["default", "app"]
        assert refusal(answer.login, answer.users) == ""
        assert refusal(PrimaryLogin("app", "another"), answer.users) == "masterauth is no password of the user app"
        assert HASH not in repr(answer)
        assert "'x'" not in repr(answer)

    def test_a_user_of_our_own_is_not_sent_to_be_turned_away(self) -> None:
        node = self.node(AUTH=b"+OK\r\n")
        answer = self.ask(node, "reader", "ours")
        assert "ACL LIST" not in node.heard
        assert answer.absences[Ask.USERS].kind is AbsenceKind.NOT_ASKED
        assert answer.login is not None

    @pytest.mark.parametrize("odd", [b"+OK\r\n", b"$-1\r\n", array([bulk("user")]), array([b":1\r\n"]), NOPERM])
    def test_what_cannot_be_read_is_an_absence_of_no_weight(self, odd: bytes) -> None:
        answer = self.ask(self.node(ACL=odd), None, None)
        assert answer.users is None
        assert answer.absences[Ask.USERS].kind in (AbsenceKind.REFUSED, AbsenceKind.NOT_PERMITTED)

    def test_a_refused_login_is_an_absence(self) -> None:
        node = self.node(**{"AUTH": b"+OK\r\n", LOGIN[1]: NOPERM})
        answer = self.ask(node, None, "ours")
        assert answer.login is None
        assert answer.absences[Ask.LOGIN].kind is AbsenceKind.NOT_PERMITTED


DISABLED = b"-ERR This instance has cluster support disabled\r\n"
UNKNOWN = b"-ERR unknown command 'CLUSTER', with args beginning with: 'NODES'\r\n"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (dict.fromkeys(("INFO", "CLUSTER", "CONFIG", "ACL"), b"-NOAUTH Authentication required.\r\n"), "auth-refused"),
        (dict.fromkeys(("INFO", "CLUSTER", "CONFIG", "ACL"), NOPERM), "auth-refused"),
        ({"CLUSTER": DISABLED}, "not-a-cluster"),
        ({"CLUSTER": UNKNOWN}, "not-a-cluster"),
        (
            {"CLUSTER": NOPERM, "INFO": bulk("# Server\r\nredis_version:8.2.3\r\ncluster_enabled:0\r\n")},
            "not-a-cluster",
        ),
    ],
)
def test_what_makes_the_whole_node_unusable_is_a_silence(answers: dict[str, bytes], reason: str) -> None:
    silence = Node(answers=answers).ask_any()
    assert isinstance(silence, Silence)
    assert silence.reason is SilenceReason(reason)
    assert silence.text


def test_a_busy_script_makes_the_whole_node_unusable() -> None:
    busy = b"-BUSY Redis is busy running a script.\r\n"
    silence = Node(answers=dict.fromkeys(("INFO", "CLUSTER", "CONFIG"), busy)).ask_any()
    assert isinstance(silence, Silence)
    assert (silence.reason, silence.text) == (SilenceReason.BUSY, "BUSY Redis is busy running a script.")


def test_what_the_node_said_before_it_froze_is_kept() -> None:
    """It froze after the first write was answered; the second one costs its own read timeout, but loses nothing."""
    node = Node()

    def behave(call: Call) -> None:
        call.read_commands(len(FIRST))
        for name in FIRST:
            call.send(answer_of(node.world, node.member, name.split()))
        call.stay()

    with odd_server(behave) as server:
        answer = question(server.endpoint)
    assert isinstance(answer, Answer)
    assert answer.nodes is not None
    assert answer.links is None
    assert answer.absences[Ask.CLUSTER_LINKS].kind is AbsenceKind.NO_ANSWER
    assert 250 <= answer.took_ms <= 1500


def test_a_reply_that_is_cut_off_makes_the_node_silent() -> None:
    def behave(call: Call) -> None:
        call.read_commands(len(FIRST))
        call.send(bulk("redis_version:8.2.3\r\n") + b"$100\r\nhalf")

    with odd_server(behave) as server:
        silence = question(server.endpoint)
    assert isinstance(silence, Silence)
    assert silence.reason is SilenceReason.CLOSED

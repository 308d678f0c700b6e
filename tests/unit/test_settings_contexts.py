"""Named clusters: what the config file may hold, who wins over whom, and what is told when it is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rcfail.cluster.natmap import Natmap
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.zones import ZoneLabels
from rcfail.commands.health import thresholds_of
from rcfail.errors import ConfigFault, UsageFault
from rcfail.health.finding import Thresholds
from rcfail.session import manner_of
from rcfail.settings.load import Flags, load
from rcfail.settings.secrets import read_secret
from rcfail.settings.sections import Limits, SecretKind, SecretSource, Settings, Tls, Verify, Wanted
from tests.unit.running import rcfail, recorded
from tests.unit.world import World

Capsys = pytest.CaptureFixture[str]

WHOLE = """
# all that a cluster may hold
[clusters.prod]
seeds = ["10.0.0.5:6379", "10.0.1.5"]
user = "ops"
password_file = "secret/pw"
natmap = ["10.0.0.*=127.0.0.1"]
deadline = "3s"
connect_timeout = 0.5
read_timeout = "500ms"
min_replicas = 2
max_lag_bytes = 1000
max_lag_s = 5

[clusters.prod.tls]
ca_file = "ca.pem"
cert_file = "~/op.crt"
key_file = "/keys/op.key"
server_name = "redis.example"
verify = "ca"

[clusters.prod.zones]
"10.0.0.*" = "a"
"10.0.1.*" = "b"

[clusters.plain]
seeds = "127.0.0.1:7000, 127.0.0.1:7001"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(WHOLE)
    path.chmod(0o600)
    return path


def loaded(config: Path, flags: Flags = Flags(cluster="prod"), /, **env: str) -> Settings:  # noqa: B008
    return load(flags, {"RCFAIL_CONFIG": str(config), **env})


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_everything_that_a_cluster_may_hold_is_taken_over(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    settings = loaded(config)
    assert settings.target.name == "prod"
    assert settings.target.seeds == (Endpoint("10.0.0.5", 6379), Endpoint("10.0.1.5", 6379))
    assert settings.target.user == "ops"
    assert settings.target.secret == SecretSource(SecretKind.FILE, str(config.parent / "secret/pw"))
    assert settings.natmap == Natmap(("10.0.0.*=127.0.0.1",))
    assert settings.limits == Limits(3.0, 0.5, 0.5)
    assert settings.wanted == Wanted(2, 1000, 5)
    assert settings.zones == ZoneLabels((("10.0.0.*", "a"), ("10.0.1.*", "b")))
    assert settings.tls == Tls(
        enabled=True,
        ca_file=str(config.parent / "ca.pem"),
        cert_file="/home/ops/op.crt",
        key_file="/keys/op.key",
        server_name="redis.example",
        verify=Verify.CA,
    )
    assert settings.target.notes == ()


def test_a_cluster_that_says_little_leaves_the_defaults(config: Path) -> None:
    settings = loaded(config, Flags(cluster="plain"))
    assert settings.target.seeds == (Endpoint("127.0.0.1", 7000), Endpoint("127.0.0.1", 7001))
    assert (settings.tls, settings.limits, settings.wanted) == (Tls(), Limits(), Wanted())


def test_a_flag_wins_over_a_variable_and_that_over_the_file(config: Path) -> None:
    env = {"RCFAIL_USER": "eve", "RCFAIL_CACERT": "/env/ca", "RCFAIL_NATMAP": "x=y", "RCFAIL_PASSWORD": "p"}
    by_env = loaded(config, **env)
    assert by_env.target.user == "eve"
    assert by_env.tls.ca_file == "/env/ca"
    assert by_env.tls.key_file == "/keys/op.key"
    assert by_env.natmap.rules == ("x=y", "10.0.0.*=127.0.0.1")
    assert by_env.target.secret == SecretSource(SecretKind.ENVIRONMENT, "RCFAIL_PASSWORD")
    flags = Flags(cluster="prod", user="fay", cacert="/flag/ca", natmap=("f=g",), deadline=9.0, ask_password=True)
    by_flag = loaded(config, flags, **env)
    assert by_flag.target.user == "fay"
    assert by_flag.tls.ca_file == "/flag/ca"
    assert by_flag.natmap.rules == ("f=g", "x=y", "10.0.0.*=127.0.0.1")
    assert by_flag.limits.deadline_s == 9.0
    assert by_flag.target.secret.kind is SecretKind.PROMPT


def test_the_password_of_redis_cli_gives_way_to_what_the_file_says(config: Path) -> None:
    assert loaded(config, REDISCLI_AUTH="x").target.secret.kind is SecretKind.FILE
    assert loaded(config, Flags(cluster="plain"), REDISCLI_AUTH="x").target.secret.name == "REDISCLI_AUTH"


def test_who_names_a_cluster_means_that_one_and_hears_of_other_seeds(config: Path) -> None:
    settings = loaded(config, RCFAIL_SEEDS="127.9.9.9:1")
    assert settings.target.seeds[0] == Endpoint("10.0.0.5", 6379)
    assert "RCFAIL_SEEDS has others" in settings.target.notes[0]
    by_variable = loaded(config, Flags(), RCFAIL_CLUSTER="prod", RCFAIL_SEEDS="127.9.9.9:1")
    assert by_variable.target.seeds == (Endpoint("127.9.9.9", 1),)
    assert "seeds are those of RCFAIL_SEEDS" in by_variable.target.notes[0]
    by_flag = loaded(config, Flags(cluster="prod", seeds=("h:1",)), RCFAIL_SEEDS="127.9.9.9:1")
    assert by_flag.target.seeds == (Endpoint("h", 1),)
    assert by_flag.target.notes == ()


@pytest.mark.parametrize(
    ("text", "flags", "env", "enabled"),
    [
        ("tls = true", Flags(), {}, True),
        ("tls = false", Flags(), {}, False),
        ("tls = {}", Flags(), {}, True),
        ("tls = {enabled = false, ca_file = 'x'}", Flags(), {}, False),
        ("tls = false", Flags(cacert="x"), {}, True),
        ("tls = false", Flags(), {"RCFAIL_CACERT": "x"}, True),
        ("tls = true", Flags(), {"RCFAIL_TLS": "0"}, False),
        ("tls = true", Flags(tls=False), {"RCFAIL_TLS": "1"}, False),
        ("", Flags(tls=True), {}, True),
        ("", Flags(insecure=True), {}, True),
        ("", Flags(tls=False, cacert="x"), {}, False),
        ("", Flags(cacert="x"), {"RCFAIL_TLS": "no"}, True),
        ("", Flags(), {"RCFAIL_TLS": "no", "RCFAIL_CACERT": "x"}, False),
        ("", Flags(), {}, False),
    ],
)
def test_tls_is_on_when_it_is_asked_for(
    tmp_path: Path, text: str, flags: Flags, env: dict[str, str], enabled: bool
) -> None:
    path = written(tmp_path / "c.toml", f"[clusters.x]\n{text}\n")
    assert loaded(path, replace(flags, cluster="x"), **env).tls.enabled is enabled


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        (Flags(insecure=True, tls_verify="full"), {}),
        (Flags(key="k"), {}),
        (Flags(), {"RCFAIL_KEY": "k"}),
        (Flags(), {"RCFAIL_TLS": "perhaps"}),
        (Flags(tls=True), {"RCFAIL_TLS_VERIFY": "some"}),
    ],
)
def test_what_makes_no_sense_for_tls_is_refused(flags: Flags, env: dict[str, str]) -> None:
    with pytest.raises(ConfigFault if env else UsageFault) as fault:
        load(flags, env)
    assert fault.value.hint


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[clusters.x]\n\nseds = ['h']\n", "line 3: clusters.x has no key 'seds'", "Did you mean seeds?"),
        ("[clusters.x]\n[clusters.x.tls]\ncafile = 'h'\n", "line 3: clusters.x.tls has no key 'cafile'", "ca_file"),
        ("[clusters.x.tsl]\nca_file = 'h'\n", "line 1: clusters.x has no key 'tsl'", "Did you mean tls?"),
        ("[clusters.x]\nzebra = 1\n", "has no key 'zebra'", "It may hold: seeds"),
        ("[cluster.x]\nseeds = 'h'\n", "there is no key 'cluster'", "Did you mean clusters?"),
        ("clusters = 3\n", "clusters is no table", "clusters.prod"),
        ("[clusters]\nx = 3\n", "clusters.x is no table", "clusters.prod"),
        ("[clusters.x]\npassword = 'hunter2'\n", "line 2: clusters.x holds a password", "password_file"),
        ("[clusters.x]\nseeds = 7\n", "clusters.x.seeds is no list", "["),
        ("[clusters.x]\nseeds = ['h:x']\n", "clusters.x.seeds cannot be", "10.0.0.5:6379"),
        ("[clusters.x]\nuser = 7\n", "clusters.x.user is no text", "quotes"),
        ("[clusters.x]\nnatmap = ['a']\n", "clusters.x.natmap cannot be: 'a' has no =", "10.0.0.5"),
        ("[clusters.x]\ndeadline = 'soon'\n", "clusters.x.deadline cannot be", "30s"),
        ("[clusters.x]\ndeadline = true\n", "clusters.x.deadline is no duration", "30s"),
        ("[clusters.x]\nmin_replicas = -1\n", "clusters.x.min_replicas is no whole number", "quotes"),
        ("[clusters.x]\nask_password = 'yes'\n", "clusters.x.ask_password is neither", "quotes"),
        ("[clusters.x.zones]\na = 1\n", "clusters.x.zones is no table", "east"),
        ("[clusters.x.zones]\n'10.0.0.0/99' = 'a'\n", "clusters.x.zones", "east"),
        ("[clusters.x]\ntls = {verify = 'some'}\n", "clusters.x.tls.verify is none of", "full"),
        ("[clusters.y]\n", "has no cluster 'x'", "It has: y."),
        ("[clusters.X1]\n", "has no cluster 'x'", "It has: X1."),
        ("", "has no cluster 'x'", "clusters.prod"),
        ("[clusters.x\n", "is no TOML", "clusters.prod"),
        ("[clusters.x]\na = " + "[" * 3000 + "\n", "is no TOML", "clusters.prod"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, said: str, hint: str) -> None:
    path = written(tmp_path / "c.toml", text)
    with pytest.raises(ConfigFault) as fault:
        loaded(path, Flags(cluster="x"))
    assert said in fault.value.message
    assert str(path) in fault.value.message
    assert hint in fault.value.hint
    assert "hunter2" not in fault.value.message + fault.value.hint


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"x" * 2_000_000])
def test_what_is_no_config_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(raw)
    for each in (path, tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigFault):
            loaded(each, Flags(cluster="x"))


def test_nobody_reads_the_file_who_names_no_cluster(tmp_path: Path) -> None:
    assert loaded(written(tmp_path / "c.toml", "not toml ["), Flags(seeds=("h",))).target.seeds


def test_a_file_that_others_can_change_or_read_is_told(config: Path) -> None:
    config.chmod(0o644)
    assert "other users can read" in loaded(config).target.notes[0]
    assert loaded(config, Flags(cluster="plain")).target.notes == (), "it says nothing about passwords"
    config.chmod(0o622)
    assert "other users can change" in loaded(config, Flags(cluster="plain")).target.notes[0]


def test_a_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    key = written(tmp_path / "op.key", "x")
    flags = Flags(cert="op.crt", key=str(key))
    key.chmod(0o640)
    assert load(flags, {}).target.notes == (f"other users can read the key {key}: chmod 600 {key}",)
    key.chmod(0o600)
    assert load(flags, {}).target.notes == ()


def test_a_password_in_a_variable_that_the_file_names_is_used_and_never_told(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "c.toml", "[clusters.x]\nseeds = '127.0.0.1:1'\npassword_env = 'SHOP_PASSWORD'\n")
    monkeypatch.setenv("RCFAIL_CONFIG", str(path))
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    monkeypatch.setenv("RCFAIL_DEBUG", "1")
    source = loaded(path, Flags(cluster="x")).target.secret
    assert read_secret(source, {"SHOP_PASSWORD": "hunter2"}) == "hunter2"
    with pytest.raises(ConfigFault, match="SHOP_PASSWORD"):
        read_secret(source, {})

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("it was hunter2")

    monkeypatch.setattr("rcfail.wire.crawl.crawl", broken)
    ran = rcfail(capsys, "health", "-c", "x")
    assert ran.code == 70
    assert "RuntimeError" in ran.err
    assert "hunter2" not in ran.out + ran.err


def test_a_cluster_without_seeds_is_told_by_its_name(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "c.toml", "[clusters.x]\nuser = 'ops'\n")
    monkeypatch.setenv("RCFAIL_CONFIG", str(path))
    ran = rcfail(capsys, "health", "-c", "x", "-o", "json")
    assert ran.code == 64
    assert ran.error["message"] == "cluster x has no seeds in the config file"
    assert "-c NAME" in rcfail(capsys, "health", "-o", "json").error["hint"]


def test_a_record_is_no_named_cluster(config: Path) -> None:
    with pytest.raises(UsageFault):
        loaded(config, Flags(cluster="prod", from_record="f"))
    assert loaded(config, Flags(from_record="f"), RCFAIL_CLUSTER="prod").target.name is None


def rows_of(ran: Any) -> dict[str, tuple[Any, str]]:
    return {each["key"]: (each["value"], each["origin"]) for each in ran.document["data"]["settings"]}


def test_show_says_where_each_value_comes_from(capsys: Capsys, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCFAIL_CONFIG", str(config))
    monkeypatch.setenv("RCFAIL_PASSWORD", "hunter2")
    monkeypatch.setenv("RCFAIL_CACERT", "/env/ca")
    ran = rcfail(capsys, "config", "show", "-c", "prod", "--user", "fay", "-o", "json")
    rows = rows_of(ran)
    assert ran.code == 0
    assert rows["cluster"] == ("prod", "--cluster")
    assert rows["user"] == ("fay", "--user")
    assert rows["password"] == ("in the variable RCFAIL_PASSWORD", "RCFAIL_PASSWORD")
    assert rows["tls.ca_file"] == ("/env/ca", "RCFAIL_CACERT")
    assert rows["tls.key_file"] == ("/keys/op.key", f"cluster prod in {config}")
    assert rows["tls.ca_dir"] == (None, "default")
    assert rows["min_replicas"] == (2, f"cluster prod in {config}")
    text = rcfail(capsys, "config", "show", "-c", "prod").out
    assert "hunter2" not in text + json.dumps(ran.document)
    assert f"config file: {config}" in text.replace("\n", " ")
    assert ran.document["cluster"]["name"] == "prod"


def test_list_tells_of_every_cluster_and_what_is_wrong(
    capsys: Capsys, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(WHOLE + "[clusters.bad]\nseds = 'h'\n")
    monkeypatch.setenv("RCFAIL_CONFIG", str(config))
    ran = rcfail(capsys, "config", "list", "-o", "json")
    assert ran.code == 78
    faults = {each["name"]: each["fault"] for each in ran.document["data"]["clusters"]}
    assert (faults["prod"], faults["plain"]) == (None, None)
    assert "no key 'seds'" in faults["bad"]


def test_no_config_file_at_all_is_no_fault_of_the_list(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    ran = rcfail(capsys, "config", "list")
    assert ran.code == 0
    assert "[clusters.prod]" in ran.out
    assert rcfail(capsys, "health", "-c", "prod").code == 78


def test_thresholds_of_the_file_count_and_a_flag_wins() -> None:
    assert thresholds_of(Wanted(2, 1000, 0)) == Thresholds(2, 1000, 0)
    assert thresholds_of(Wanted(2, 1000, 5), Wanted(min_replicas=0)) == Thresholds(0, 1000, 5)
    assert thresholds_of(Wanted()) == Thresholds()


def test_hints_carry_what_the_next_command_needs_again(config: Path) -> None:
    flags = Flags(cluster="prod", natmap=("a=b",), seeds=("h:1",))
    manner = manner_of(loaded(config, flags, RCFAIL_USER="eve"))
    told = manner.fit("Wait for it: rcfail health --wait 30s -s 10.0.0.5:6379")
    assert told == "Wait for it: rcfail health -c prod --natmap a=b --wait 30s -s 10.0.0.5:6379"
    asked = manner.fit("Ask it: redis-cli -h 10.0.0.5 -p 6379 PING")
    assert asked.startswith("Ask it: redis-cli --tls --cacert ")
    assert "--user eve --askpass -h 10.0.0.5 -p 6379 PING" in asked
    assert manner.fit("rcfail explain slots-failed") == "rcfail explain slots-failed"


def test_the_name_is_in_the_json_of_success_and_failure(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "c.toml", "[clusters.dead]\nseeds = '127.0.0.1:1'\n")
    monkeypatch.setenv("RCFAIL_CONFIG", str(path))
    ran = rcfail(capsys, "health", "-c", "dead", "-o", "json")
    assert (ran.code, ran.document["cluster"]["name"]) == (3, "dead")
    table = written(tmp_path / "nodes.conf", World.of(3, 1).nodes_text(next(iter(World.of(3, 1)))))
    monkeypatch.setenv("RCFAIL_CLUSTER", "dead")
    saved = rcfail(capsys, "nodes", "--from", str(table), "-o", "json")
    assert (saved.code, saved.document["cluster"]["name"]) == (0, None)
    assert rcfail(capsys, "health", "-o", "json").document["cluster"]["name"] == "dead"
    assert (
        rcfail(capsys, "health", "--from-record", recorded(World.of(3, 1), tmp_path), "-o", "json").document["cluster"][
            "name"
        ]
        is None
    )

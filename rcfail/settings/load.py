"""From flags, environment and config file to settings. A flag wins over its variable, that over the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from rcfail.cluster.natmap import Natmap, as_told
from rcfail.cluster.natmap import fault_in as natmap_fault
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.zones import ZoneLabels, fault_in
from rcfail.errors import UsageFault
from rcfail.settings.layers import NO_CLUSTER, NOTHING, Layers, NamedCluster, Picked
from rcfail.settings.secrets import key_notes, secret_notes
from rcfail.settings.sections import (
    Format,
    Limits,
    Output,
    SecretKind,
    SecretSource,
    Settings,
    Target,
    Wanted,
)
from rcfail.settings.seeds import BadSeed, doubt, parse_seeds
from rcfail.settings.tls import tls_of

_SEED_HINT = "Write it as HOST:PORT, for example -s 10.0.0.5:6379 or -s [::1]:7000."
_NATMAP_HINT = "Write it as ANNOUNCED=REACHABLE: 10.0.0.5:6379=127.0.0.1:7001, or '10.0.0.*=192.168.1.*'."
_ZONE_HINT = "Write it as PATTERN=ZONE, for example --zone '10.1.*=east' or --zone 10.2.0.0/16=west."


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options as they stand on the command line; None or empty: not given. Times in seconds."""

    seeds: tuple[str, ...] = ()
    user: str | None = None
    password_file: str | None = None
    ask_password: bool = False
    from_record: str | None = None
    deadline: float | None = None
    connect_timeout: float | None = None
    read_timeout: float | None = None
    output: str | None = None
    output_file: str | None = None
    no_color: bool = False
    zone_rules: tuple[str, ...] = ()
    tls: bool | None = None
    cacert: str | None = None
    cacertdir: str | None = None
    cert: str | None = None
    key: str | None = None
    sni: str | None = None
    tls_verify: str | None = None
    insecure: bool = False
    natmap: tuple[str, ...] = ()
    cluster: str | None = None


def load(flags: Flags, env: Mapping[str, str], config: str = "") -> Settings:
    """All that the user set. `config` is the path of the file with the named clusters, read where one is named.

    Raises UsageFault for a flag and ConfigFault for a variable or the file.
    """
    named, chosen_by = _named(flags, env, config)
    layers = Layers(flags, env, named)
    if chosen_by:
        layers.origins["cluster"] = chosen_by
    target = _target(layers, chosen_by)
    limits, zones, tls, natmap = _limits(layers), _zones(layers), tls_of(layers), _natmap(layers)
    wanted = Wanted(
        *(layers.pick(key, layers.kept(key)).value for key in ("min_replicas", "max_lag_bytes", "max_lag_s"))
    )
    return Settings(
        target=replace(target, notes=(*target.notes, *key_notes(tls.key_file))),
        limits=limits,
        output=load_output(flags, env),
        zones=zones,
        tls=tls,
        natmap=natmap,
        wanted=wanted,
        origins=tuple(layers.origins.items()),
        repeated=tuple(_repeated(flags)),
    )


def load_output(flags: Flags, env: Mapping[str, str]) -> Output:
    """How to write; never fails, so that a failure can be written too."""
    forbidden = flags.no_color or bool(env.get("NO_COLOR")) or env.get("TERM") == "dumb"
    return Output(Format(flags.output or Format.TEXT), color=not forbidden, file=flags.output_file)


def _named(flags: Flags, env: Mapping[str, str], config: str) -> tuple[NamedCluster, str]:
    """The cluster of the file that was named, and by what. A record is no cluster."""
    name, origin = (flags.cluster, "--cluster") if flags.cluster else (env.get("RCFAIL_CLUSTER", ""), "RCFAIL_CLUSTER")
    if not name or flags.from_record is not None:
        return NO_CLUSTER, ""
    from rcfail.settings.contexts import read_config

    path = config_path(env, config)
    # Whoever has no file hears that the cluster is not in it, and where it is looked for.
    return read_config(path, missing_ok=path == config).cluster(name), origin


def config_path(env: Mapping[str, str], default: str) -> str:
    """Where the named clusters are: RCFAIL_CONFIG, else the usual place."""
    return env.get("RCFAIL_CONFIG") or default


def _limits(layers: Layers) -> Limits:
    given, flags = Limits(), layers.flags
    times = (
        ("deadline", flags.deadline, given.deadline_s),
        ("connect_timeout", flags.connect_timeout, given.connect_s),
        ("read_timeout", flags.read_timeout, given.read_s),
    )
    found = (
        (layers.pick(key, layers.flag(flag, f"--{key.replace('_', '-')}"), layers.kept(key)).value, default)
        for key, flag, default in times
    )
    return Limits(*(value or default for value, default in found))


def _natmap(layers: Layers) -> Natmap:
    """The rules of the flags, then of the variable, then of the file: the first that fits an address counts."""
    variable = layers.variable("RCFAIL_NATMAP")
    texts = tuple(filter(None, (part.strip() for part in str(variable.value or "").split(","))))
    places = (
        Picked(layers.flags.natmap, "--natmap", UsageFault),
        Picked(texts, "RCFAIL_NATMAP"),
        Picked(layers.kept("natmap").value or (), layers.named.origin),
    )
    for place in places[:2]:
        for text in place.value:
            if words := natmap_fault(text):
                raise place.fault(f"{place.origin}: {as_told(text)} {words}", _NATMAP_HINT)
    _note_all(layers, "natmap", places)
    return Natmap(tuple(rule for place in places for rule in place.value))


def _zones(layers: Layers) -> ZoneLabels:
    """The labels of --zone, then those of the file. A host name or an address holds no `=`, a zone may."""
    rules: list[tuple[str, str]] = []
    for text in layers.flags.zone_rules:
        pattern, _, zone = text.partition("=")
        if fault := fault_in(pattern, zone):
            raise UsageFault(f"--zone {text} {fault}", _ZONE_HINT)
        rules.append((pattern, zone))
    places = (Picked(tuple(rules), "--zone"), Picked(layers.kept("zones").value or (), layers.named.origin))
    _note_all(layers, "zones", places)
    return ZoneLabels(tuple(rule for place in places for rule in place.value))


def _note_all(layers: Layers, key: str, places: tuple[Picked, ...]) -> None:
    """Lists add up, so they can come from several places."""
    origins = [place.origin for place in places if place.value]
    if origins:
        layers.origins[key] = ", then ".join(origins)


def _target(layers: Layers, chosen_by: str) -> Target:
    flags, named = layers.flags, layers.named
    if flags.from_record is not None:
        if flags.seeds:
            raise UsageFault(
                "--from-record and --seed exclude each other", "Name either a saved observation or live servers."
            )
        if flags.cluster:
            raise UsageFault("--from-record and --cluster exclude each other", "Name a saved observation or a cluster.")
        return Target(record=flags.from_record)
    seeds, doubts = _seeds(layers, chosen_by)
    source = _secret_source(layers)
    if named is not NO_CLUSTER:
        from rcfail.settings.contexts import file_notes

        doubts = (*doubts, *file_notes(named))
    return Target(
        seeds=seeds,
        user=layers.text("user", "--user", "RCFAIL_USER", flags.user) or None,
        secret=source,
        notes=(*doubts, *secret_notes(source)),
        name=named.name or None,
    )


def _seeds(layers: Layers, chosen_by: str) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """The seeds in the order given, each once, and doubts about how they were meant.

    Who names a cluster on the command line means that one, also where a shell still has the seeds of another.
    """
    flag = Picked(layers.flags.seeds, "--seed", UsageFault) if layers.flags.seeds else NOTHING
    variable, kept = layers.variable("RCFAIL_SEEDS"), layers.kept("seeds")
    places = (flag, kept, variable) if chosen_by == "--cluster" else (flag, variable, kept)
    found = layers.pick("seeds", *places)
    if found.value is None:
        return (), ()
    texts = (found.value,) if isinstance(found.value, str) else found.value
    try:
        seeds = [endpoint for text in texts for endpoint in parse_seeds(text)]
    except BadSeed as error:
        raise found.fault(f"{found.origin}: {error}", _SEED_HINT) from None
    doubts = [words for text in texts for part in text.split(",") if (words := doubt(part))]
    if flag is NOTHING and variable.value and kept.value:
        used, unused = (layers.named.name, "RCFAIL_SEEDS") if found is kept else ("RCFAIL_SEEDS", layers.named.name)
        doubts.append(f"the seeds are those of {used}; {unused} has others, which are not used")
    return tuple(dict.fromkeys(seeds)), tuple(doubts)


def _secret_source(layers: Layers) -> SecretSource:
    """REDISCLI_AUTH comes last: it is redis-cli's, and may be meant for another cluster than the one that is named."""
    flags, kept = layers.flags, layers.kept
    if flags.ask_password and flags.password_file is not None:
        raise UsageFault("--ask-password and --password-file exclude each other", "Give one of them.")
    places = (
        (SecretKind.PROMPT, "", layers.flag(flags.ask_password, "--ask-password")),
        (SecretKind.FILE, flags.password_file, layers.flag(flags.password_file, "--password-file")),
        (SecretKind.ENVIRONMENT, "RCFAIL_PASSWORD", _set(layers, "RCFAIL_PASSWORD")),
        (SecretKind.FILE, layers.variable("RCFAIL_PASSWORD_FILE").value, layers.variable("RCFAIL_PASSWORD_FILE")),
        (SecretKind.FILE, kept("password_file").value, kept("password_file")),
        (SecretKind.ENVIRONMENT, kept("password_env").value, kept("password_env")),
        (SecretKind.PROMPT, "", kept("ask_password") if kept("ask_password").value else NOTHING),
        (SecretKind.ENVIRONMENT, "REDISCLI_AUTH", _set(layers, "REDISCLI_AUTH")),
    )
    for kind, name, place in places:
        if place is not NOTHING:
            layers.origins["password"] = place.origin
            return SecretSource(kind, str(name or ""))
    return SecretSource()


def _set(layers: Layers, name: str) -> Picked:
    """A variable that holds a password: it may begin or end with a space, and its value is not picked."""
    return Picked(True, name) if layers.env.get(name) else NOTHING


def _repeated(flags: Flags) -> Iterator[str]:
    """What a next command about the same cluster needs again. What stands in the environment stays there."""
    values = (
        ("-c", flags.cluster),
        ("--user", flags.user),
        ("--password-file", flags.password_file),
        ("--cacert", flags.cacert),
        ("--cacertdir", flags.cacertdir),
        ("--cert", flags.cert),
        ("--key", flags.key),
        ("--sni", flags.sni),
        ("--tls-verify", flags.tls_verify),
        *(("--natmap", rule) for rule in flags.natmap),
        *(("--zone", rule) for rule in flags.zone_rules),
    )
    for name, value in values:
        if value is not None:
            yield from (name, value)
    switches = (
        ("--ask-password", flags.ask_password),
        ("--tls", flags.tls is True),
        ("--no-tls", flags.tls is False),
        ("--insecure", flags.insecure),
    )
    yield from (name for name, on in switches if on)

"""From flags and environment to settings. A flag wins over its variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rcfail.cluster.natmap import Natmap
from rcfail.cluster.natmap import fault_in as natmap_fault
from rcfail.cluster.nouns import Endpoint
from rcfail.cluster.zones import ZoneLabels, fault_in
from rcfail.errors import ConfigFault, RcfailError, UsageFault
from rcfail.settings.secrets import secret_notes
from rcfail.settings.sections import Format, Limits, Output, SecretKind, SecretSource, Settings, Target
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
    zones: tuple[str, ...] = ()
    tls: bool | None = None
    cacert: str | None = None
    cacertdir: str | None = None
    cert: str | None = None
    key: str | None = None
    sni: str | None = None
    tls_verify: str | None = None
    insecure: bool = False
    natmap: tuple[str, ...] = ()


def load(flags: Flags, env: Mapping[str, str]) -> Settings:
    """All that the user set. Raises UsageFault for a flag and ConfigFault for a variable."""
    return Settings(
        target=_target(flags, env),
        limits=_limits(flags),
        output=load_output(flags, env),
        zones=_zones(flags),
        tls=tls_of(flags, env),
        natmap=_natmap(flags, env),
    )


def load_output(flags: Flags, env: Mapping[str, str]) -> Output:
    """How to write; never fails, so that a failure can be written too."""
    forbidden = flags.no_color or bool(env.get("NO_COLOR")) or env.get("TERM") == "dumb"
    return Output(Format(flags.output or Format.TEXT), color=not forbidden, file=flags.output_file)


def _limits(flags: Flags) -> Limits:
    given = Limits()
    return Limits(
        deadline_s=flags.deadline or given.deadline_s,
        connect_s=flags.connect_timeout or given.connect_s,
        read_s=flags.read_timeout or given.read_s,
    )


def _natmap(flags: Flags, env: Mapping[str, str]) -> Natmap:
    """The rules of --natmap, then those of the variable: the first that fits counts."""
    variable = tuple(filter(None, (part.strip() for part in env.get("RCFAIL_NATMAP", "").split(","))))
    origins = (("--natmap", flags.natmap, UsageFault), ("RCFAIL_NATMAP", variable, ConfigFault))
    for origin, rules, fault in origins:
        for text in rules:
            if words := natmap_fault(text):
                raise fault(f"{origin}: {text} {words}", _NATMAP_HINT)
    return Natmap((*flags.natmap, *variable))


def _zones(flags: Flags) -> ZoneLabels:
    """The labels of --zone, in the order given. A host name or an address holds no `=`, a zone may."""
    rules: list[tuple[str, str]] = []
    for text in flags.zones:
        pattern, _, zone = text.partition("=")
        if fault := fault_in(pattern, zone):
            raise UsageFault(f"--zone {text} {fault}", _ZONE_HINT)
        rules.append((pattern, zone))
    return ZoneLabels(tuple(rules))


def _target(flags: Flags, env: Mapping[str, str]) -> Target:
    if flags.from_record is not None:
        if flags.seeds:
            raise UsageFault(
                "--from-record and --seed exclude each other", "Name either a saved observation or live servers."
            )
        return Target(record=flags.from_record)
    source = _secret_source(flags, env)
    seeds, doubts = _seeds(flags, env)
    return Target(
        seeds=seeds,
        user=flags.user or env.get("RCFAIL_USER") or None,
        secret=source,
        notes=(*doubts, *secret_notes(source)),
    )


def _seeds(flags: Flags, env: Mapping[str, str]) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """The seeds in the order given, each once, and doubts about how they were meant."""
    fault: type[RcfailError]
    if flags.seeds:
        texts, fault, origin = flags.seeds, UsageFault, "--seed"
    elif variable := env.get("RCFAIL_SEEDS", "").strip():
        texts, fault, origin = (variable,), ConfigFault, "RCFAIL_SEEDS"
    else:
        return (), ()
    try:
        found = [endpoint for text in texts for endpoint in parse_seeds(text)]
    except BadSeed as error:
        raise fault(f"{origin}: {error}", _SEED_HINT) from None
    doubts = (doubt(part) for text in texts for part in text.split(","))
    return tuple(dict.fromkeys(found)), tuple(filter(None, doubts))


def _secret_source(flags: Flags, env: Mapping[str, str]) -> SecretSource:
    if flags.ask_password and flags.password_file is not None:
        raise UsageFault("--ask-password and --password-file exclude each other", "Give one of them.")
    if flags.ask_password:
        return SecretSource(SecretKind.PROMPT)
    if flags.password_file is not None:
        return SecretSource(SecretKind.FILE, flags.password_file)
    if env.get("RCFAIL_PASSWORD"):
        return SecretSource(SecretKind.ENVIRONMENT, "RCFAIL_PASSWORD")
    if path := env.get("RCFAIL_PASSWORD_FILE"):
        return SecretSource(SecretKind.FILE, path)
    if env.get("REDISCLI_AUTH"):
        return SecretSource(SecretKind.ENVIRONMENT, "REDISCLI_AUTH")
    return SecretSource()

"""A replica that its primary turns away: who was refused, by the settings of both or by the primary's own log."""

from __future__ import annotations

from rcfail.change.recover.case import Case
from rcfail.change.recover.replicas.asked import ACL_LOG, ERRORS, USER, section, setting
from rcfail.cluster.logins import DEFAULT_USER, refusal
from rcfail.cluster.snapshot import Node
from rcfail.health.wording import redis_cli

_FRESH_S = 15.0
"""A replica that is refused tries again every second, so an older line of the ACL log is none of this trouble."""


def why_refused(case: Case, node: Node, primary: Node) -> str:
    """First by what both are set to, then by what the primary logged."""
    users = primary.view.users if primary.view is not None else None
    login = node.view.login if node.view is not None else None
    if login is not None and users is not None and (why := refusal(login, users)):
        return why
    user = setting(case, node.endpoint, USER)
    if users is not None and user and user not in {each.name for each in users}:
        return f"its masteruser is {user}, and there is no user {user}"
    return _logged(case, node, primary)


def _logged(case: Case, node: Node, primary: Node) -> str:
    """The ACL log names who was refused, what, and from where (addACLLogEntry, acl.c)."""
    rows = case.reply(primary.endpoint, *ACL_LOG)
    for row in rows if isinstance(rows, tuple) else ():
        said = dict(zip(row[::2], row[1::2], strict=False)) if isinstance(row, tuple) else {}
        if not _is_of(node, str(said.get("client-info", ""))) or _age_s(said.get("age-seconds")) > _FRESH_S:
            continue
        who = said.get("username", DEFAULT_USER)
        if said.get("reason") == "auth":
            return f"it logged a refused AUTH of the user {who} from there"
        return f"it logged that the user {who} may not run {str(said.get('object', '')).upper()}"
    return ""


def _is_of(node: Node, client_info: str) -> bool:
    """A replication link begins with AUTH, REPLCONF or PSYNC; an operator's own refusal has a library name or a name,
    and hardly comes from the replica's address."""
    words = dict(word.partition("=")[::2] for word in client_info.split(" "))
    hosts = {node.address.host, node.endpoint.host if node.endpoint else ""} - {""}
    return words.get("addr", "").rpartition(":")[0].strip("[]") in hosts and not words.get("name")


def _age_s(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("inf")


def set_login(case: Case, node: Node, primary: Node) -> str:
    """What the primary itself would log in with fits it mostly, for roles change. No secret stands in it."""
    users = primary.view.users if primary.view is not None else None
    default = next((each for each in users or () if each.name == DEFAULT_USER), None)
    theirs = setting(case, primary.endpoint, USER)
    user = theirs if theirs is not None else "USER"
    open_to_all = default is not None and default.enabled and default.open and not user
    password = "" if open_to_all else "PASSWORD"
    first = redis_cli(node.endpoint, "CONFIG", "SET", "masteruser", user)
    second = redis_cli(node.endpoint, "CONFIG", "SET", "masterauth", password)
    how = "The primary asks for no password"
    if not open_to_all:
        how = f"Let it log in as the user {user or DEFAULT_USER}, with the password that the primary takes"
    return (
        f"{how}: {first} and {second}, then CONFIG REWRITE. Do so on every node whose login is wrong, for roles "
        "change: health names them as failover-unprepared."
    )


def counted_refusals(case: Case, primary: Node) -> str:
    """What the primary refused since its start, whoever it was: `12 WRONGPASS and 3 NOAUTH`."""
    counts = section(case, primary.endpoint, ERRORS)
    found = ((name, counts.get(f"errorstat_{name}", "")) for name in ("WRONGPASS", "NOAUTH", "NOPERM"))
    return " and ".join(f"{text.removeprefix('count=')} {name}" for name, text in found if text.startswith("count="))

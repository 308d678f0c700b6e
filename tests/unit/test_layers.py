"""Who may import whom, kept by reading the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rcfail

ROOT = Path(rcfail.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# A room is a folder, or a module that stands by itself. Each may import what is named, and itself.
BOTTOM = {"errors", "exits"}
PURE = {"cluster", "health"}
LOOKING = {"session", "rounds", "blind", "watch", "waiting", "roundup"}
MAY_IMPORT = {
    "errors": {"exits"},
    "exits": set[str](),
    "clock": {"errors"},
    "pages": set[str](),
    "pipes": set[str](),
    "cluster": set[str](),
    "health": {"cluster", "exits"},
    "wire": {"cluster", "clock", "errors", "pipes"},
    "settings": {"cluster", "errors", "pipes"},
    "change": {"health", "cluster", "wire", "clock", *BOTTOM},
    "render": {"change", "health", "cluster", "exits", "pipes", "version"},
    "practice": {"change", "health", "cluster", "wire", "clock", *BOTTOM},
    **{
        room: {"render", "change", "health", "cluster", "wire", "settings", "clock", *LOOKING, *BOTTOM}
        for room in LOOKING
    },
    # A run looks, changes, and practises a canary beside it.
    "runs": {*LOOKING, "render", "practice", "change", "health", "cluster", "wire", "settings", "clock", *BOTTOM},
    "commands": {
        *LOOKING,
        "runs",
        "render",
        "practice",
        "change",
        "health",
        "cluster",
        "wire",
        "settings",
        "clock",
        "pages",
        "pipes",
        "version",
        *BOTTOM,
    },
    "cli": {"commands", "render", "settings", "exits"},
    "__main__": {"cli"},
    "version": set[str](),
}
DOORS = {"redis": {"wire"}, "rich": {"render"}, "tenacity": {"clock"}, "click": {"cli", "commands"}}
EFFECTS = {"asyncio", "datetime", "os", "pathlib", "random", "select", "socket", "ssl", "subprocess", "time"}
CANARY = {f"practice/{name}.py" for name in ("canary", "canary_client", "canary_keys")}
CHANGING = {"change/locks/cluster_lock.py", "change/sender.py", *CANARY}
HOMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def room_of(module: Path) -> str:
    first = module.relative_to(ROOT).parts[0].removesuffix(".py")
    return "version" if first == "__init__" else first


def imports(module: Path) -> Iterator[str]:
    """Every module that is imported anywhere in the file, also inside functions and for types only."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            yield node.module or ""


def rooms_imported(module: Path) -> set[str]:
    found: set[str] = set()
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "rcfail":
            found.add(parts[1] if len(parts) > 1 else "version")
    return found


def named(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_room_imports_only_what_lies_below_it(module: Path) -> None:
    room = room_of(module)
    assert rooms_imported(module) - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_each_library_has_one_door(module: Path) -> None:
    outside = {name.split(".")[0] for name in imports(module)}
    for library, rooms in DOORS.items():
        assert library not in outside or room_of(module) in rooms, library


@pytest.mark.parametrize("module", [each for each in MODULES if room_of(each) in PURE], ids=named)
def test_a_pure_room_has_no_effects(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & EFFECTS


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_only_the_clock_sleeps(module: Path) -> None:
    if room_of(module) == "clock":
        return
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and node.attr == "sleep":
            assert not (isinstance(node.value, ast.Name) and node.value.id == "time"), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert "sleep" not in {alias.name for alias in node.names}, f"line {node.lineno}"


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_only_four_places_change_anything_on_a_server(module: Path) -> None:
    """The lab, the lock, the canary's client, and the sender."""
    if module.is_relative_to(ROOT / "practice" / "lab") or named(module) in CHANGING:
        return
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("say", "change"), f"line {node.lineno}"


def test_every_module_has_a_home() -> None:
    assert not {part.removesuffix(".py") for module in MODULES for part in module.parts} & HOMELESS


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in MODULES} <= MAY_IMPORT.keys()


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    """A rule that finds nothing anywhere would pass too."""
    module = tmp_path / "bad.py"
    module.write_text("def f():\n    import redis.connection\n    from rcfail.cli import main\n")
    assert rooms_imported(module) == {"cli"}
    assert set(imports(module)) == {"redis.connection", "rcfail.cli"}

"""`python -m tests.fuzz TARGET [libFuzzer options]`: fuzz one target from what real servers printed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["rcfail", "redis._parsers"]):
        from tests.fuzz.targets import TARGETS

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"usage: python -m tests.fuzz {{{'|'.join(TARGETS)}}} [-max_total_time=SECONDS ...]")
    target = TARGETS[sys.argv[1]]
    seeds = Path(tempfile.mkdtemp(prefix="rcfail-fuzz-"))
    for at, seed in enumerate(target.seeds()):
        (seeds / f"seed{at}").write_bytes(seed)
    found = tempfile.mkdtemp(prefix="rcfail-fuzz-")
    atheris.Setup([sys.argv[0], *sys.argv[2:], f"-artifact_prefix={found}/", str(seeds)], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

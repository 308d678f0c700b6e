"""Finding codes as users write them."""

from __future__ import annotations

from rcfail.errors import UsageFault
from rcfail.health.catalogue import BY_CODE, Entry


def known_code(text: str) -> Entry:
    """The entry of a finding code as a user writes it. Raises UsageFault with the nearest codes."""
    entry = BY_CODE.get(text.strip().lower())
    if entry is not None:
        return entry
    from difflib import get_close_matches

    near = get_close_matches(text.lower(), BY_CODE, n=3, cutoff=0.4)
    hint = f"Did you mean: {', '.join(near)}" if near else "All codes: rcfail explain"
    raise UsageFault(f"there is no finding '{text}'", hint)

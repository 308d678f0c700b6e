"""Sees fast that a CLUSTER NODES text says again what an earlier one said.

Between two views of one opinion only the order of the lines, their ping and pong, and `myself` differ. A
stencil knows each line's text in front of ping and pong and behind them, and compares all lines in a few calls
of C: three times as fast as cutting the lines by a regular expression, and just as exact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import getitem
from typing import NamedTuple

from rcfail.cluster.nouns import NodeTable

_PULSES = re.compile(r"[0-9]{1,20} [0-9]{1,20}(?:\n[0-9]{1,20} [0-9]{1,20})*+", re.ASCII)


class Stencil(NamedTuple):
    """The lines of one table, in its order: what stands in front of ping and pong, behind, and where they are."""

    heads: tuple[str, ...]
    tails: tuple[str, ...]
    gaps: tuple[slice, ...]
    table: NodeTable

    def pulses_in(self, lines: Sequence[str]) -> str | None:
        """The pings and pongs ("ping pong ping pong ...") if these sorted lines are the table's, else None.

        The lines have no `myself` in them.
        """
        if len(lines) != len(self.heads):
            return None
        if not (all(map(str.startswith, lines, self.heads)) and all(map(str.endswith, lines, self.tails))):
            return None
        # Where a line is too short for head and tail together the gap is empty, and then this is no row of pulses.
        pulses = "\n".join(map(getitem, lines, self.gaps))
        return pulses.replace("\n", " ") if _PULSES.fullmatch(pulses) else None


def stencil_of(table: NodeTable) -> Stencil:
    """The stencil of a table without problems."""
    cuts = [belief.line.split(" ", 6) for belief in table.beliefs]
    heads = tuple([" ".join(cut[:4]) + " " for cut in cuts])
    tails = tuple([f" {cut[6]}" for cut in cuts])
    gaps = tuple([slice(len(head), -len(tail)) for head, tail in zip(heads, tails, strict=True)])
    return Stencil(heads, tails, gaps, table)

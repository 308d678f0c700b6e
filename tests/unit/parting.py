"""Partitions of a constructed cluster."""

from __future__ import annotations

from tests.unit.world import NOW_UNIX_MS, World


def part(world: World, *sides: str, timeout_over: bool = True) -> World:
    """Let each side flag all others: with fail where it holds a majority of the voters, else with fail?.

    A side is the letters of its members with spaces between, such as "a b1". Where no majority is left, or the time
    is over for a minority, its members say cluster_state:fail.
    """
    groups = [side.split() for side in sides]
    voters = [member for member in world if member.slots]
    for group in groups:
        here = [world[letter] for letter in group]
        quorum = sum(1 for voter in voters if voter in here) >= len(voters) // 2 + 1
        flag = "fail" if quorum else "fail?"
        for member in here:
            for other in world:
                if other not in here:
                    member.sees[other.node_id] = other.line(flags=(flag,), ping_sent=NOW_UNIX_MS - 20_000)
            if timeout_over and not quorum:
                member.cluster_info["cluster_state"] = "fail"
    return world

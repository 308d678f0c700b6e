"""The data of `rcfail views -o json`."""

from __future__ import annotations

from rcfail.cluster.disparity import alike, disparity
from rcfail.cluster.nouns import NodeId
from rcfail.cluster.outlook import Access, Prospect
from rcfail.cluster.snapshot import Snapshot
from rcfail.render.health_json import finding_json, silences_json, slots_json
from rcfail.render.outcome import Json
from rcfail.render.views_page import Picture


def views_data(picture: Picture) -> Json:
    """`pairs` are those that do not see each other well, one a direction; every other pair of observers does.

    `groups` are of views that are equal but for links and host names, the largest first; `differs_in` compares each
    with that one.
    """
    snapshot = picture.snapshot
    groups = alike(snapshot.groups)
    return {
        "parted": picture.parts.parted,
        "sides": [_side(each) for each in picture.prospects],
        "unplaced": list(picture.parts.unplaced),
        "groups": [
            {
                "observers": list(each.observers),
                "differs_in": [aspect.value for aspect in disparity(each.table, groups[0].table)],
            }
            for each in groups
        ],
        "pairs": [
            {"observer": observer, "node": node_id, "sees": regard.value}
            for observer, seen in sorted(picture.parts.hearing.regards.items())
            for node_id, regard in sorted(seen.items())
        ],
        "nodes": [_node(snapshot, picture, node_id) for node_id in snapshot.nodes],
        "findings": [finding_json(each) for each in picture.diagnosis.findings],
        "ignored": [finding_json(each) for each in picture.diagnosis.ignored],
        "silences": silences_json(snapshot.silences),
    }


def _side(prospect: Prospect) -> Json:
    side = prospect.side
    return {
        "members": list(side.members),
        "unheard": list(side.unheard),
        "voters": list(side.voters),
        "electorate": len(side.electorate),
        "needed": side.needed,
        "quorum": side.quorum.value,
        "writable": sum(
            last - first + 1 for each in prospect.services if each.access is Access.WRITES for first, last in each.slots
        ),
        "serves": [
            {"id": each.node_id, "slots": slots_json(each.slots), "access": each.access.value}
            for each in prospect.services
        ],
        "will": [
            {
                "move": each.move.value,
                "id": each.node_id,
                "slots": slots_json(each.slots),
                "successor": each.successor,
                "within_ms": each.within_ms,
                "again_ms": each.again_ms,
            }
            for each in prospect.forecasts
        ],
        "loses": [
            {
                "id": each.primary_id,
                "successor": each.successor,
                "certain": each.certain,
                "still_taking": each.still_taking,
                "up_to_bytes": each.up_to_bytes,
            }
            for each in prospect.losses
        ],
    }


def _node(snapshot: Snapshot, picture: Picture, node_id: NodeId) -> Json:
    node = snapshot.nodes[node_id]
    place = node.endpoint or node.address.endpoint
    side = picture.parts.side_of(node_id)
    return {
        "id": node_id,
        "host": place.host if place else "",
        "port": place.port if place else 0,
        "role": node.role.value,
        "side": picture.parts.sides.index(side) if side else None,
        "gave_view": node_id in picture.parts.hearing.regards,
    }

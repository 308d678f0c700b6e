"""The word of `rcfail health` against an independent oracle, while a real cluster is broken and mended at random."""

from __future__ import annotations

import pytest

from tests.real.campaign.story import Campaign
from tests.real.conftest import LabMaker
from tests.real.servers import ServerUnderTest

SEEDS = (4, 8, 15, 23)
ACTIONS = 6


@pytest.mark.every_server
@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_that_is_broken_at_random_is_never_called_other_than_it_is(
    lab: LabMaker, server: ServerUnderTest, seed: int
) -> None:
    campaign = Campaign(lab(hosts=6, zones=6), seed)
    campaign.run(ACTIONS)
    assert not campaign.bugs, campaign.report()

"""What the endpoints are called besides their addresses: a certificate must be for one of these names."""

from __future__ import annotations

from collections.abc import Container

from rcfail.cluster.nouns import Endpoint

MOST_NAMES = 32
"""Of one endpoint, the first that were learnt: those of the seeds are."""


class Names:
    """Names as seeds and views say them. Grows while a crawl runs, and is read by its threads."""

    def __init__(self) -> None:
        self._by_endpoint: dict[Endpoint, tuple[str, ...]] = {}

    def learn(self, endpoint: Endpoint, *names: str) -> None:
        known = self._by_endpoint.get(endpoint, ())
        self._by_endpoint[endpoint] = tuple(dict.fromkeys((*known, *filter(None, names))))[:MOST_NAMES]

    def keep_only(self, endpoints: Container[Endpoint]) -> None:
        """Forget all others: a watch without end meets new ones in every round where a server invents them."""
        for endpoint in [each for each in self._by_endpoint if each not in endpoints]:
            del self._by_endpoint[endpoint]

    def of(self, endpoint: Endpoint) -> tuple[str, ...]:
        """All names that were learnt, or the host that is dialled itself."""
        return self._by_endpoint.get(endpoint) or (endpoint.host,)

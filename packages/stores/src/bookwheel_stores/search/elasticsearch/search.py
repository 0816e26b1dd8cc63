"""Sends searches to the index behind the alias; one that does not exist yet is empty."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.errors import is_missing, is_passing, translated

Answer = Mapping[str, Any]
_TIMEOUT = 5.0  # seconds
_PAUSE = 0.05


class ElasticSearcher:
    """Raises IndexAway while Elasticsearch does not answer, IndexRefused where it won't."""

    def __init__(self, address: ElasticAddress) -> None:
        self._address = address
        self._client = address.connect(timeout=_TIMEOUT)

    @property
    def client(self) -> Elasticsearch:
        return self._client

    def search(self, request: dict[str, Any]) -> Answer:
        """All of the answer or an error: never what some of the index had to say."""
        with translated(self._address.server):
            try:
                return self._sent(request)
            except ApiError as error:
                # An index that was just replaced is gone for a search on its way; the alias names the one that serves.
                if not is_missing(error) and not is_passing(error.status_code, error.error):
                    raise
            time.sleep(_PAUSE)
            try:
                return self._sent(request)
            except ApiError as error:
                if is_missing(error):
                    return empty_answer(request)
                raise

    def search_many(self, requests: Sequence[dict[str, Any]]) -> list[Answer]:
        """Several searches in one exchange."""
        lines = [line for request in requests for line in ({"allow_partial_search_results": False}, request)]
        with translated(self._address.server):
            answers = self._client.msearch(index=self._address.alias, searches=lines).body["responses"]
        return [
            self.search(request) if "error" in answer else answer
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _sent(self, request: dict[str, Any]) -> Answer:
        answer: Answer = self._client.search(
            index=self._address.alias, body=request, allow_partial_search_results=False
        ).body
        return answer


def empty_answer(request: Mapping[str, Any]) -> Answer:
    """What an index without any book would answer."""
    return {
        "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []},
        "aggregations": _empty_aggregations(request.get("aggs", {})),
        "suggest": {name: [] for name in request.get("suggest", {})},
    }


def _empty_aggregations(wanted: Mapping[str, Any]) -> Answer:
    return {
        name: {"buckets": [], "doc_count": 0, "count": 0, "value": 0, **_empty_aggregations(each.get("aggs", {}))}
        for name, each in wanted.items()
    }

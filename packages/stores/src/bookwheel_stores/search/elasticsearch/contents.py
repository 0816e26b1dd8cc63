"""What is in an Elasticsearch index, by number and digest, for comparing it with the records."""

from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from bookwheel_stores.search.digests import RANGE, RangeSum
from bookwheel_stores.search.elasticsearch.queries import LIVING

_RANGES = 10_000  # in one answer
_BOOKS = 10_000


@dataclass(frozen=True, slots=True)
class ElasticContents:
    """Of an index, or of the one behind an alias, as of its last refresh."""

    client: Elasticsearch
    index: str

    def count(self) -> int:
        return int(self.client.count(index=self.index, query=LIVING)["count"])

    def sums(self) -> dict[int, RangeSum]:
        found: dict[int, RangeSum] = {}
        pages: dict[str, Any] = {
            "size": _RANGES,
            "sources": [{"range": {"histogram": {"field": "number", "interval": RANGE}}}],
        }
        figures = {"digests": {"sum": {"field": "digest"}}}
        while True:
            answer = self._search(size=0, aggs={"pages": {"composite": pages, "aggs": figures}})["aggregations"][
                "pages"
            ]
            for bucket in answer["buckets"]:
                place = int(bucket["key"]["range"]) // RANGE
                found[place] = RangeSum(int(bucket["doc_count"]), int(bucket["digests"]["value"]))
            if len(answer["buckets"]) < _RANGES:
                return found
            pages["after"] = answer["after_key"]

    def digests(self, numbers: range) -> dict[int, int]:
        found: dict[int, int] = {}
        for start in range(numbers.start, numbers.stop, _BOOKS):
            within = {"range": {"number": {"gte": start, "lt": min(start + _BOOKS, numbers.stop)}}}
            hits = self._search(
                size=_BOOKS, within=within, stored_fields="_none_", docvalue_fields=["number", "digest"]
            )["hits"]["hits"]
            found |= {int(hit["fields"]["number"][0]): int(hit["fields"]["digest"][0]) for hit in hits}
        return found

    def _search(self, *, within: dict[str, Any] | None = None, **request: Any) -> Any:
        query = {"bool": {"filter": [LIVING, *([within] if within else [])]}}
        body = {"query": query, "track_total_hits": False, **request}
        return self.client.search(index=self.index, body=body, allow_partial_search_results=False).body

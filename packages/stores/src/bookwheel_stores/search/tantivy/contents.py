"""What is in a Tantivy index, by number and digest, for comparing it with the records."""

import tantivy
from tantivy import FieldType, Query

from bookwheel_stores.search.digests import RANGE, RangeSum


def sums_of(searcher: tantivy.Searcher) -> dict[int, RangeSum]:
    if not searcher.num_docs:
        return {}
    ranges = {"histogram": {"field": "number", "interval": RANGE, "min_doc_count": 1}}
    request = {"ranges": {**ranges, "aggs": {"digests": {"sum": {"field": "digest"}}}}}
    answer = searcher.aggregate(Query.all_query(), request)
    return {
        int(bucket["key"]) // RANGE: RangeSum(int(bucket["doc_count"]), int(bucket["digests"]["value"]))
        for bucket in answer["ranges"]["buckets"]
    }


def digests_of(searcher: tantivy.Searcher, schema: tantivy.Schema, numbers: range) -> dict[int, int]:
    within = Query.range_query(
        schema, "number", FieldType.Unsigned, lower_bound=numbers.start, upper_bound=numbers.stop, include_upper=False
    )
    if not numbers or not searcher.num_docs:
        return {}
    found = [address for _, address in searcher.search(within, limit=len(numbers), count=False).hits]
    digests = searcher.fast_field_values("digest", found)
    return {
        int(number or 0): int(value or 0)
        for number, value in zip(searcher.fast_field_values("number", found), digests, strict=True)
    }

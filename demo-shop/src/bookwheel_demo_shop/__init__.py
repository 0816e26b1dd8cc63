"""A deterministic bookshop to crawl: seeded, generated lazily, with days, faults and a planted law of ratings."""

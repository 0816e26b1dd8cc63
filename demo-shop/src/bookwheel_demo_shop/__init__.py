"""A generated bookshop for crawls: deterministic per seed, with days, faults and ratings that follow a known law."""

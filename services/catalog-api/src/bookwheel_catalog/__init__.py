"""Search, facets, statistics, history and crawls over HTTP."""

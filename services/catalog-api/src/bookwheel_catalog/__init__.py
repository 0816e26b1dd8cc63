"""Search, facets, statistics, history and crawls over HTTP."""

DEFAULT_PORT = 8081
API_PREFIX = "/api/v1"

"""The Elasticsearch adapter: the search index is on a server."""

"""The Elasticsearch adapter: a search index on a server."""

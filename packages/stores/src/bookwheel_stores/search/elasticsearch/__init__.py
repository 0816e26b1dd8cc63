"""The Elasticsearch adapter."""

"""The Tantivy adapter: a search index in a local folder."""

"""The Tantivy adapter: the search index is a local folder."""

"""The Tantivy adapter."""

"""The connection, its dialects, and statements over many rows."""

"""The connection to SQLite or PostgreSQL, transactions, and the schema."""

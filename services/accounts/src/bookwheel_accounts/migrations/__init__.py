"""Alembic migrations of the tables of accounts."""

"""Alembic revisions of the tables of the records."""

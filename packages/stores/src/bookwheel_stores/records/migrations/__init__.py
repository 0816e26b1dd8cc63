"""Alembic's revisions of the records' tables."""

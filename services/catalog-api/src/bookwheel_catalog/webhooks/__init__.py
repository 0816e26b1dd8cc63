"""Webhooks of the callers."""

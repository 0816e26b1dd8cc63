"""Webhooks: signed requests for changes and finished crawls."""

"""Delivers webhooks: what is due, signed, to addresses of the internet."""

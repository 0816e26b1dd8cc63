"""The routes of the accounts service."""

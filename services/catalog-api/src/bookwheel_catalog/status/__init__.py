"""The status of all services."""

"""Index builds."""

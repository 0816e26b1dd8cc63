"""Writes the lake: bronze, silver and exports."""

"""Exports, deltas and snapshots of the catalog."""

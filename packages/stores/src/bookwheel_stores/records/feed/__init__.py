"""The change feed: its entries, filters, cursors, lag and snapshots."""

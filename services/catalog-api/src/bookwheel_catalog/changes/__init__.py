"""The change feed: pages to poll and a live stream."""

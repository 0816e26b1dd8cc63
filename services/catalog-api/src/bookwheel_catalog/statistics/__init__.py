"""Statistics: categories, suggestions, summaries and price trends."""

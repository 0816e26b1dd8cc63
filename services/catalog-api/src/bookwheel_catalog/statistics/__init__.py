"""Figures of the catalog: categories, suggestions, summaries, price trends."""

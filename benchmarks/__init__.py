"""Benchmarks that compare the product with a baseline: one script per topic, one ratio per comparison."""

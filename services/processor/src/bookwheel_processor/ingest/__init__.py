"""Ingests batches of stream entries: decode, classify, plan, write."""

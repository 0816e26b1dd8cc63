"""Ours beside a floor or a peer: one script a claim, each printing a ratio."""

"""Rates of the product beside those of a floor: one script per topic, one ratio per claim."""

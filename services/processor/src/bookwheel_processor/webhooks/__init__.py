"""Delivers webhooks: claims due deliveries, signs and posts them to public addresses."""

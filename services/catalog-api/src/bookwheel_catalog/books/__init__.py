"""Books: lists, details and history."""

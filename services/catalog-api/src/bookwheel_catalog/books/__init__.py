"""Books: lists, one book, its history."""

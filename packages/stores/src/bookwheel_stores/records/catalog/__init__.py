"""Books, offers and observations."""

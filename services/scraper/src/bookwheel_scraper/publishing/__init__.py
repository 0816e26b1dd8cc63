"""From a scraped book to messages in the raw stream."""

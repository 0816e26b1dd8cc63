"""What the scraper counts. Its crawls run in processes of their own; their counts are read from their ledgers."""

from prometheus_client import Counter, Gauge

CRAWLS_RUNNING = Gauge("bookwheel_crawls_running", "Crawls whose process runs in this scraper.")
ENDED = Counter(
    "bookwheel_crawl_processes", "Processes of crawls, by how they ended: `died` is tried again.", ["source", "outcome"]
)
PAGES = Counter("bookwheel_crawled_pages", "Pages that crawls have read.", ["source"])
ITEMS = Counter("bookwheel_published_items", "Items that crawls have published.", ["source"])
ERRORS = Counter("bookwheel_crawl_errors", "Pages that crawls could not read.", ["source"])

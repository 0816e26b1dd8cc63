"""The scraper's Prometheus metrics, exported from the counts of the crawl processes in Redis."""

from prometheus_client import Counter, Gauge

CRAWLS_RUNNING = Gauge("bookwheel_crawls_running", "Crawls whose process runs in this scraper.")
CRAWL_PROCESSES = Counter(
    "bookwheel_crawl_processes",
    "Ended crawl processes by outcome; a crawl that `died` is retried.",
    ["source", "outcome"],
)
CRAWLED_PAGES = Counter("bookwheel_crawled_pages", "Pages that crawls have read.", ["source"])
PUBLISHED_ITEMS = Counter("bookwheel_published_items", "Items that crawls have published.", ["source"])
CRAWL_ERRORS = Counter("bookwheel_crawl_errors", "Pages that crawls could not read.", ["source"])

"""The HTML document of a page: its base URL, headings and links."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urldefrag, urljoin, urlsplit

from lxml import etree
from lxml.etree import _Element as Element

from bookwheel_extraction.pages.elements import TextReader
from bookwheel_extraction.values.urls import normalize_url

MAX_HEADINGS = 20
MAX_LINKS = 5_000
MAX_TAG_LENGTH = 4_000
MAX_ATTRIBUTES = 500
"""A tag with more attributes is cut: libxml2 needs 10 s for one with 100,000."""
_LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{MAX_TAG_LENGTH},}}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_BASE = etree.XPath("//base[@href]/@href")
_HEADINGS = etree.XPath("//h1")
_TITLE = etree.XPath("//title")
_RELATED_LINKS = etree.XPath("//*[self::a or self::link or self::area][@rel and @href]")
_NAVIGATION = "ancestor::nav or ancestor::header or ancestor::footer or contains(concat(' ', @rel, ' '), ' nofollow ')"
_PLAIN_LINKS = etree.XPath(f"//a[@href][not({_NAVIGATION})]/@href")
_TEMPLATES = etree.XPath("//template")
_LINK_HEADER = re.compile(r"<([^>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s;,\"]*))?)*)")
_REL_PARAMETER = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]*))", re.IGNORECASE)
_SCHEME = re.compile(r"^https?://(?:www\.)?", re.IGNORECASE)


def _cut_attributes(match: re.Match[str]) -> str:
    tag = match[0]
    return tag[:MAX_TAG_LENGTH] if len(_QUOTED.sub("", tag).split()) > MAX_ATTRIBUTES else tag


def parse_html(text: str) -> Element | None:
    """Return the root element; None for a page without elements."""
    try:
        parser = etree.HTMLParser(encoding="utf-8", recover=True, huge_tree=True)
        text = _LONG_TAG.sub(_cut_attributes, text)
        root: Element | None = etree.fromstring(text.encode("utf-8", "replace"), parser)
        return root
    except etree.LxmlError:
        return None


class Document:
    """One parsed page. `own_keys` are the comparison keys of the URLs of the page."""

    def __init__(self, root: Element, url: str, other_urls: Iterable[str], link_headers: Iterable[str]) -> None:
        self.root = root
        self.url = url
        self.texts = TextReader()
        for template in _TEMPLATES(root):
            template.clear(keep_tail=True)  # browsers do not show templates
        self.base_url = self._find_base_url()
        self.headings = [heading for element in _HEADINGS(root)[:MAX_HEADINGS] if (heading := self._text(element))]
        self.title = next((title for element in _TITLE(root)[:1] if (title := self._text(element))), None)
        self._links = [*self._element_links(), *_header_links(link_headers)]
        self.canonical_url = self._find_canonical_url()
        urls = [url, *other_urls] if self.canonical_url is None else [self.canonical_url, url, *other_urls]
        self.own_keys = {url_key(own_url) for own_url in urls}

    def _text(self, element: Element) -> str:
        return " ".join(self.texts.read(element).split())

    def _find_base_url(self) -> str:
        for href in _BASE(self.root)[:1]:
            base_url = join_url(self.url, href)
            if base_url is not None:
                return base_url
        return self.url

    def _element_links(self) -> Iterator[tuple[frozenset[str], str]]:
        for element in _RELATED_LINKS(self.root):
            yield frozenset(element.get("rel").lower().split()), element.get("href")

    def _find_canonical_url(self) -> str | None:
        """Return the canonical URL if it is on this site and names a page of its own.

        Some sites declare their home page, or another site, as the canonical URL of every page.
        """
        for relations, href in self._links:
            if "canonical" not in relations:
                continue
            url = join_url(self.base_url, href)
            if url is None:
                continue
            parts, own_parts = urlsplit(url), urlsplit(self.url)
            is_same_site = _site(parts.hostname) == _site(own_parts.hostname)
            is_home = parts.path in {"", "/"} and not parts.query
            if is_same_site and not (is_home and own_parts.path not in {"", "/"}):
                return clean_url(url)
            return None
        return None

    def next_pages(self) -> tuple[str, ...]:
        hrefs = [href for relations, href in self._links if "next" in relations]
        return self.absolute_urls(hrefs)

    def plain_links(self) -> tuple[str, ...]:
        return self.absolute_urls(_PLAIN_LINKS(self.root)[:MAX_LINKS])

    def absolute_urls(self, hrefs: Iterable[str]) -> tuple[str, ...]:
        """Return distinct absolute URLs of other pages."""
        urls: dict[str, None] = {}
        own_url = urldefrag(self.url)[0]
        for href in hrefs:
            url = join_url(self.base_url, href)
            if url is not None and (url := urldefrag(url)[0]) != own_url:
                urls.setdefault(url)
        return tuple(urls)

    def is_own_url(self, href: str) -> bool:
        url = join_url(self.base_url, href)
        return url is not None and url_key(url) in self.own_keys

    def is_own_site(self, href: str) -> bool:
        url = join_url(self.base_url, href)
        return url is not None and _site(urlsplit(url).hostname) == _site(urlsplit(self.url).hostname)

    def is_other_page(self, href: str | None) -> bool:
        """Return True for another page of this site, except its home page."""
        url = join_url(self.base_url, href) if href else None
        if url is None or url_key(url) in self.own_keys:
            return False
        parts = urlsplit(url)
        return _site(parts.hostname) == _site(urlsplit(self.url).hostname) and parts.path not in {"", "/"}


def join_url(base_url: str, href: str) -> str | None:
    """Return the absolute http URL; None if there is none."""
    try:
        url = urljoin(base_url, "".join(href.split("\n")).replace("\t", "").strip())
        return url if urlsplit(url).hostname and url.startswith(("http://", "https://")) else None
    except ValueError:
        return None


def clean_url(url: str) -> str:
    """Return the URL without fragment, tracking and session parameters; unchanged if it is not valid."""
    return normalize_url(url).value or urldefrag(url)[0]


def url_key(url: str) -> str:
    """Return a key that is equal for the URLs of one page."""
    return _SCHEME.sub("", clean_url(url)).rstrip("/")


def _site(host: str | None) -> str:
    return (host or "").removeprefix("www.")


def _header_links(headers: Iterable[str]) -> Iterator[tuple[frozenset[str], str]]:
    for header in headers:
        for href, parameters in _LINK_HEADER.findall(header[:10_000]):
            match = _REL_PARAMETER.search(parameters)
            if match:
                yield frozenset((match[1] or match[2]).lower().split()), href

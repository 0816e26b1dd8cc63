"""Decodes the bytes of a page as browsers do."""

import codecs
import re
from types import MappingProxyType

_MAX_PRESCAN = 4096
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"^\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.:+-]+)[\"']", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Browsers decode these labels with a superset: https://encoding.spec.whatwg.org/#names-and-labels
_BROWSER_ENCODINGS = MappingProxyType(
    {
        "ascii": "cp1252",
        "iso8859-1": "cp1252",
        "iso8859-9": "cp1254",
        "iso8859-11": "cp874",
        "tis-620": "cp874",
        "gb2312": "gb18030",
        "gbk": "gb18030",
        "shift_jis": "cp932",
        "euc_kr": "cp949",
        "johab": "cp949",
        "big5": "big5hkscs",
        "utf-16": "utf-16-le",
    }
)
_BINARY_CODECS = frozenset({"base64", "bz2", "hex", "quopri", "rot13", "uu", "zlib", "idna", "punycode", "utf-7"})


def decode_page(body: bytes, content_type: str | None = None) -> tuple[str, str]:
    """Return the text without NUL characters and the name of its encoding.

    The order is: byte order mark, HTTP header, `meta` element, XML declaration. Valid non-ASCII UTF-8 is decoded as
    UTF-8 even if another encoding is declared: text in another encoding is almost never valid UTF-8.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace").replace("\0", ""), encoding
    declared = _header_encoding(content_type) or _markup_encoding(body)
    if body.isascii() and not (declared or "").startswith(("utf-16", "utf-32", "iso2022")):
        return body.decode("ascii").replace("\0", ""), declared or "utf-8"
    if declared in {None, "utf-8"} or not declared.startswith(("utf-16", "utf-32", "iso2022")):
        try:
            return body.decode("utf-8").replace("\0", ""), "utf-8"
        except UnicodeDecodeError:
            if declared == "utf-8" and _is_mostly_utf_8(body):
                return body.decode("utf-8", "replace").replace("\0", ""), "utf-8"
    encoding = "cp1252" if declared in {None, "utf-8"} else declared
    return body.decode(encoding, "replace").replace("\0", ""), encoding


def _is_mostly_utf_8(body: bytes) -> bool:
    """Return True if a page has more valid characters outside ASCII than errors: for example, a text was cut."""
    text = body.decode("utf-8", "replace")
    errors = text.count("\ufffd")
    characters = len(text) - len(text.encode("ascii", "ignore")) - errors
    return characters > errors


def _header_encoding(content_type: str | None) -> str | None:
    match = _CHARSET.search(content_type or "")
    return _lookup(match[1]) if match else None


def _markup_encoding(body: bytes) -> str | None:
    start = _COMMENT.sub(b"", body[:_MAX_PRESCAN])
    match = _META_CHARSET.search(start) or _XML_DECLARATION.search(start)
    encoding = _lookup(match[1].decode("ascii", "replace")) if match else None
    # A `meta` element that can be read is not UTF-16.
    return "utf-8" if encoding and encoding.startswith(("utf-16", "utf-32")) else encoding


def _lookup(label: str) -> str | None:
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    if name in _BINARY_CODECS:
        return None
    return _BROWSER_ENCODINGS.get(name, name)

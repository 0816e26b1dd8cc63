"""Corrects the encoding of pages that declare a wrong charset."""

from scrapy import Request
from scrapy.http import HtmlResponse, Response


def detect_encoding(body: bytes, declared: str) -> str:
    """The encoding to decode `body` with.

    Non-ASCII text that is valid UTF-8 is decoded as UTF-8, whatever the page declares: text in another encoding is
    almost never valid UTF-8. A page that declares UTF-8 and is not valid is decoded as Windows-1252, the default of
    browsers.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252" if declared == "utf-8" else declared
    return declared if len(text) == len(body) else "utf-8"


class CharsetMiddleware:
    def process_response(self, request: Request, response: Response) -> Response:  # noqa: ARG002 - Scrapy's interface
        if not isinstance(response, HtmlResponse) or response.body.isascii():
            return response
        encoding = detect_encoding(response.body, response.encoding)
        return response if encoding == response.encoding else response.replace(encoding=encoding)

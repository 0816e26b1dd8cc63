"""Corrects the encoding of pages that declare a wrong charset."""

from scrapy import Request
from scrapy.http import HtmlResponse, Response


def detect_encoding(body: bytes, declared: str) -> str:
    """Returns the encoding of `body`.

    Valid non-ASCII UTF-8 is decoded as UTF-8 even if the page declares another charset. Text in another encoding is
    almost never valid UTF-8. If a page declares UTF-8 but is not valid UTF-8, it is decoded as Windows-1252, the
    default of browsers.
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

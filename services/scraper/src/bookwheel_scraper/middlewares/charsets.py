"""Pages whose declared charset is wrong."""

from scrapy import Request
from scrapy.http import HtmlResponse, Response


def true_encoding(body: bytes, declared: str) -> str:
    """The encoding to read `body` with.

    Text beyond ASCII that is valid UTF-8 is UTF-8, whatever was declared: in another encoding that would be a rare
    accident. A page declared as UTF-8 that is not valid as such is read as Windows-1252, as browsers read a page
    without a declaration.
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
        encoding = true_encoding(response.body, response.encoding)
        return response if encoding == response.encoding else response.replace(encoding=encoding)

"""Shows the result of a trial as text or JSON."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from bookwheel_extraction.pages import ExtractedBook, ExtractedOffer, FieldFault, Origin
from pydantic import BaseModel

from bookwheel_scraper.trial.trial import Trial

_WIDTH = 160


def build_report(trial: Trial) -> dict[str, Any]:
    """Returns the result with JSON values only."""
    page = trial.page
    return {
        "source": trial.source,
        "url": trial.url,
        "status": trial.status,
        "canonical_url": page.url,
        "encoding": page.encoding,
        "outcome": page.outcome.value,
        "reason": page.reason,
        "position": page.position,
        "syntaxes": [syntax.value for syntax in page.syntaxes],
        "entities": list(page.entities),
        "choice": page.choice,
        "books": [_book(book) for book in page.books],
        "faults": [_fault(fault) for fault in page.faults],
        "links": {
            "books": list(page.book_links),
            "next_pages": list(page.next_pages),
            "plain": list(page.plain_links),
        },
    }


def render_report(report: Mapping[str, Any]) -> str:
    return "\n".join(_lines(report))


def _book(book: ExtractedBook) -> dict[str, Any]:
    return {
        "url": book.url,
        "key": book.key,
        "edition": book.edition,
        "fields": {
            name: {"value": _plain(field.value), "raw": list(field.raw), "origin": _origin(field.origin)}
            for name, field in book.fields.items()
        },
        "offers": [_offer(offer) for offer in book.offers],
        "faults": [_fault(fault) for fault in book.faults],
    }


def _offer(offer: ExtractedOffer) -> dict[str, Any]:
    names = ("price", "list_price", "availability", "condition", "seller", "format", "is_chosen", "refusal")
    return {name: _plain(getattr(offer, name)) for name in names} | {"origin": _origin(offer.origin)}


def _fault(fault: FieldFault) -> dict[str, Any]:
    return {"field": fault.field, "code": fault.code, "text": fault.text, "origin": _origin(fault.origin)}


def _origin(origin: Origin | None) -> str | None:
    if origin is None:
        return None
    return f"{origin.syntax.value}: {origin.path}" if origin.path else origin.syntax.value


def _plain(value: Any) -> Any:
    """Converts a value to JSON types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(element) for element in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"page      {report['url']} (status {report['status']}, {report['encoding']}, source {report['source']})"
    reason = f": {report['reason']}" if report["reason"] else ""
    position = f" at {report['position']}" if report["position"] else ""
    yield f"outcome   {report['outcome']}{reason}{position}"
    yield f"syntaxes  {', '.join(report['syntaxes']) or 'none'}"
    yield f"entities  {'; '.join(report['entities']) or 'none'}"
    yield f"choice    {report['choice'] or 'none'}"
    links = report["links"]
    yield f"links     {len(links['books'])} books, {len(links['next_pages'])} next pages, {len(links['plain'])} others"
    yield from (f"fault     {_fault_text(fault)}" for fault in report["faults"])
    for book in report["books"]:
        yield ""
        edition = f", edition {book['edition']}" if book["edition"] else ""
        yield f"book      {book['url']} (key {book['key'] or 'is the URL'}{edition})"
        for name, field in book["fields"].items():
            yield f"  {name:<14}{_cut(field['value'])}"
            yield f"  {'':<14}from {field['origin']}: {_cut(' | '.join(field['raw']))}"
        for offer in book["offers"]:
            mark = "chosen" if offer["is_chosen"] else offer["refusal"] or "not chosen"
            price = offer["price"]
            amount = f"{price['amount']} {price['currency']}" if price else "no price"
            yield f"  offer         {amount}, {offer['availability']}, {mark}"
        yield from (f"  fault         {_fault_text(fault)}" for fault in book["faults"])


def _fault_text(fault: Mapping[str, Any]) -> str:
    origin = f" ({fault['origin']})" if fault["origin"] else ""
    return f"{fault['field']}: {fault['code']}: {_cut(fault['text'])}{origin}"


def _cut(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"

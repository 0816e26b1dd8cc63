"""Reads the offers of a book and chooses the one whose price is the book's price."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from urllib.parse import urlsplit

from bookwheel_contracts import Money

from bookwheel_extraction.pages.document import join_url
from bookwheel_extraction.pages.models import ExtractedOffer, FieldFault, FieldValue, Origin, Syntax
from bookwheel_extraction.pages.nodes import ElementText, LinkText, Node, text_of
from bookwheel_extraction.values.availability import AvailabilityState, parse_availability
from bookwheel_extraction.values.counts import parse_count
from bookwheel_extraction.values.currencies import parse_currency
from bookwheel_extraction.values.formats import parse_format
from bookwheel_extraction.values.parsed import Parsed
from bookwheel_extraction.values.prices import parse_markup_price, parse_text_price

MAX_OFFERS = 200
_LIST_PRICE_TYPES = frozenset(
    {
        "listprice",
        "msrp",
        "srp",
        "strikethroughprice",
        "regularprice",
        "suggestedretailprice",
        "manufacturersuggestedretailprice",
    }
)
_SALE_PRICE_TYPES = frozenset({"saleprice"})
_OTHER_PRICE_TYPES = frozenset(
    {"invoiceprice", "minimumadvertisedprice", "minimumorderprice", "unitprice", "memberprice"}
)
_OTHER_PRICE_NODES = frozenset({"DeliveryChargeSpecification", "PaymentChargeSpecification"})
_SUBSCRIPTION_PROPERTIES = frozenset({"billingDuration", "billingIncrement", "billingStart"})
_MEMBER_PROPERTIES = frozenset({"validForMemberTier", "eligibleCustomerType"})
_USED = re.compile(r"(?i)used|refurbished|damaged|gebraucht|second.?hand|occasion|usato|usado")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_STATE_RANK = {
    AvailabilityState.IN_STOCK: 0,
    AvailabilityState.PRE_ORDER: 1,
    AvailabilityState.BACK_ORDER: 2,
    AvailabilityState.OUT_OF_STOCK: 4,
    AvailabilityState.DISCONTINUED: 5,
}
_UNKNOWN_RANK = 3


@dataclass(slots=True)
class OfferContext:
    """Facts of the page for reading its offers. `sellers` are the names of the shop itself, in lower case."""

    base_url: str
    host: str
    sellers: frozenset[str]
    currency_hint: str | None
    declared_currency: str | None = None
    today: date | None = None


@dataclass(slots=True)
class OfferFields:
    """The chosen price, list price, availability and stock; all offers; and the faults of the prices."""

    fields: dict[str, FieldValue] = field(default_factory=dict)
    offers: tuple[ExtractedOffer, ...] = ()
    faults: list[FieldFault] = field(default_factory=list)


@dataclass(slots=True)
class _Amount:
    money: Money | None
    raw: str
    path: str
    fault: FieldFault | None = None


@dataclass(slots=True)
class _Specifications:
    """The prices of an offer by their meaning."""

    plain: list[_Amount] = field(default_factory=list)
    sale: list[_Amount] = field(default_factory=list)
    list_price: list[_Amount] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def read_offers(nodes: Sequence[Node], context: OfferContext, book_format: str | None) -> OfferFields:
    """Read the offers of all descriptions of a book. The syntax of the first readable price wins."""
    result = OfferFields()
    offers: list[ExtractedOffer] = []
    faults: list[FieldFault] = []
    for node in nodes:
        for offer, parents in _offer_nodes(node):
            if len(offers) >= MAX_OFFERS:
                faults.append(FieldFault("offers", "too_many_offers", f"more than {MAX_OFFERS} offers"))
                break
            extracted = _read_offer(offer, parents, node, context, faults)
            if extracted is not None:
                offers.append(extracted)
    offers = _refuse_other_formats(_without_repetitions(offers), book_format)
    chosen = _choose(offers, context)
    if chosen is not None:
        price = chosen.price
        _set(result, "price", price, chosen.raw.get("price", ""), chosen)
        if chosen.list_price is not None:
            _set(result, "list_price", chosen.list_price, chosen.raw.get("list_price", ""), chosen)
    else:
        result.faults.extend(_price_faults(offers, faults))
    _set_availability(result, offers, chosen)
    result.offers = tuple(replace(offer, is_chosen=True) if offer is chosen else offer for offer in offers)
    return result


def _set(result: OfferFields, name: str, value: object, raw: str, offer: ExtractedOffer) -> None:
    if offer.origin is not None:
        path = f"{offer.origin.path}.{name}"
        result.fields[name] = FieldValue(value, (raw,), Origin(offer.origin.syntax, path))


def _price_faults(offers: Sequence[ExtractedOffer], faults: list[FieldFault]) -> Iterator[FieldFault]:
    yield from faults
    for offer in offers:
        if offer.refusal is not None and offer.price is not None:
            yield FieldFault("price", offer.refusal, offer.raw.get("price", ""), offer.origin)


def _set_availability(result: OfferFields, offers: Sequence[ExtractedOffer], chosen: ExtractedOffer | None) -> None:
    """Use the chosen offer's availability, else that of the first other offer with the same price or without one."""
    ordered = sorted(
        (offer for offer in offers if offer.refusal in {None, "expired", "unreadable_price"}),
        key=lambda offer: (_SYNTAX_ORDER[offer.origin.syntax] if offer.origin else 0, _rank(offer)),
    )
    if chosen is not None:
        ordered = [
            chosen,
            *(offer for offer in ordered if offer is not chosen and offer.price in {None, chosen.price}),
        ]
    for offer in ordered:
        if offer.availability != "unknown":
            _set(
                result, "availability", AvailabilityState(offer.availability), offer.raw.get("availability", ""), offer
            )
            break
    for offer in ordered:
        if offer.stock is not None:
            _set(result, "stock", offer.stock, offer.raw.get("stock", ""), offer)
            break


_SYNTAX_ORDER = {syntax: order for order, syntax in enumerate(Syntax)}


def _rank(offer: ExtractedOffer) -> tuple[int, int, int]:
    state = AvailabilityState(offer.availability) if offer.availability != "unknown" else None
    return (
        1 if offer.condition == "used" else 0,
        1 if offer.seller is not None and not offer.is_own else 0,
        _UNKNOWN_RANK if state is None else _STATE_RANK[state],
    )


def _choose(offers: Sequence[ExtractedOffer], context: OfferContext) -> ExtractedOffer | None:
    refused = {offer.price for offer in offers if offer.refusal is not None}  # other syntaxes repeat the same price
    priced = [
        offer for offer in offers if offer.price is not None and offer.refusal is None and offer.price not in refused
    ]
    if not priced:
        return None
    first_syntax = min(_SYNTAX_ORDER[offer.origin.syntax] for offer in priced if offer.origin)
    priced = [offer for offer in priced if offer.origin and _SYNTAX_ORDER[offer.origin.syntax] == first_syntax]

    unreadable = [
        offer
        for offer in offers
        if offer.refusal == "unreadable_price" and offer.origin and _SYNTAX_ORDER[offer.origin.syntax] == first_syntax
    ]
    if unreadable and min(map(_rank, unreadable)) <= min(map(_rank, priced)):
        return None  # the price of the book could be the unreadable one

    def sort_key(offer: ExtractedOffer) -> tuple[tuple[int, int, int], bool, Decimal]:
        assert offer.price is not None
        currency = context.declared_currency or context.currency_hint
        return (_rank(offer), bool(currency) and offer.price.currency != currency, offer.price.amount)

    return min(priced, key=sort_key)


def _without_repetitions(offers: list[ExtractedOffer]) -> list[ExtractedOffer]:
    """Drop offers that repeat another syntax's offer: the same price, or no price of its own."""
    kept: list[ExtractedOffer] = []
    seen: set[tuple[object, ...]] = set()
    for offer in offers:
        key = (
            offer.price,
            offer.list_price,
            offer.availability,
            offer.condition,
            offer.seller,
            offer.url,
            offer.format,
        )
        if key not in seen:
            seen.add(key)
            kept.append(offer)
    return kept


def _refuse_other_formats(offers: list[ExtractedOffer], book_format: str | None) -> list[ExtractedOffer]:
    """Refuse offers of another format. Without the book's format, offers of several formats are all refused."""
    formats = {offer.format for offer in offers if offer.format is not None and offer.refusal is None}
    if book_format is not None:
        return [
            replace(offer, refusal="other_format")
            if offer.format not in {None, book_format} and offer.refusal is None
            else offer
            for offer in offers
        ]
    if len(formats) < 2:
        return offers
    return [
        replace(offer, refusal="several_formats") if offer.format is not None and offer.refusal is None else offer
        for offer in offers
    ]


def _offer_nodes(node: Node) -> Iterator[tuple[Node, list[Node]]]:
    """Yield the offers with the aggregate offers that they belong to."""
    book_as_offer = [node] if node.properties.keys() & {"price", "crossedOutPrice", "availability", "salePrice"} else []
    offers = node.nodes("offers")
    for offer in [*offers, *book_as_offer]:
        nested = [other for other in offer.nodes("offers") if other is not offer] if offer is not node else []
        for other in nested:
            yield other, [offer]
        if not any(_has_price(other) for other in nested):
            yield offer, []


def _has_price(offer: Node) -> bool:
    return bool(offer.properties.keys() & {"price", "lowPrice", "priceSpecification"})


def _read_offer(
    offer: Node, parents: list[Node], book: Node, context: OfferContext, faults: list[FieldFault]
) -> ExtractedOffer | None:
    path = f"{book.type_name}.offers" if offer is not book else book.type_name
    origin = Origin(offer.syntax, path)
    raw: dict[str, str] = {}
    specifications = _read_prices(offer, [offer, *parents, book], context, path)
    price = _choose_amount(specifications, faults, origin)
    list_price = next((amount for amount in specifications.list_price if amount.money is not None), None)
    if price is not None and price.money is not None:
        raw["price"] = price.raw
    if list_price is not None:
        raw["list_price"] = list_price.raw
    state, stock = _read_availability(offer, parents, raw)
    seller = next((text for text in offer.texts("seller", "offeredBy") if text.strip()), None)
    refusal = _find_refusal(offer, parents, context)
    if refusal is None and price is None:
        has_price = bool(specifications.sale or specifications.plain)
        refusal = "unreadable_price" if has_price else next(iter(specifications.refusals), None)
    extracted = ExtractedOffer(
        price=price.money if price else None,
        list_price=list_price.money if list_price else None,
        availability=state,
        condition=_read_condition(offer),
        seller=seller,
        is_own=_is_own(offer, seller, context),
        url=next((join_url(context.base_url, url) for url in offer.urls("url")), None),
        format=_read_format(offer, book),
        stock=stock,
        raw=raw,
        refusal=refusal,
        origin=origin,
    )
    is_empty = extracted.price is None and extracted.list_price is None and state == "unknown" and stock is None
    return None if is_empty and refusal is None else extracted


def _read_prices(offer: Node, nodes: list[Node], context: OfferContext, path: str) -> _Specifications:
    result = _Specifications()
    currency = _currency(nodes)
    amounts = _amounts(offer, "price", currency, context, path) or _amounts(offer, "lowPrice", currency, context, path)
    price_type = _price_type(offer)
    if price_type in _LIST_PRICE_TYPES:
        result.list_price.extend(amounts)
    elif price_type in _OTHER_PRICE_TYPES:
        result.refusals.append("other_price_type")
    else:
        result.plain.extend(amounts)
    result.sale.extend(_amounts(offer, "salePrice", currency, context, path))
    result.list_price.extend(_amounts(offer, "crossedOutPrice", currency, context, path))
    specifications = _read_specifications(offer, nodes, context, path, result)
    list_amounts = {amount.money for amount in result.list_price if amount.money}
    repeats_list_price = all(amount.money in list_amounts for amount in result.plain if amount.money)
    if specifications and repeats_list_price:
        result.plain = specifications
    return result


def _read_specifications(
    offer: Node, nodes: list[Node], context: OfferContext, path: str, result: _Specifications
) -> list[_Amount]:
    """Add the price specifications to their meaning. Return those that are just a price."""
    plain: list[_Amount] = []
    path = f"{path}.priceSpecification"
    for specification in offer.nodes("priceSpecification")[:MAX_OFFERS]:
        currency = _currency([specification, *nodes])
        amounts = _amounts(specification, "price", currency, context, path)
        amounts = amounts or _amounts(specification, "minPrice", currency, context, path)
        kind = _specification_kind(specification, context)
        if kind == "list":
            result.list_price.extend(amounts)
        elif kind == "sale":
            result.sale.extend(amounts)
        elif kind == "plain":
            plain.extend(amounts)
        elif amounts:
            result.refusals.append(kind)
    return plain


def _choose_amount(specifications: _Specifications, faults: list[FieldFault], origin: Origin) -> _Amount | None:
    """Return the only price. Different prices of one offer, or an unreadable one beside a readable one, give none."""
    amounts = specifications.sale or specifications.plain
    own_faults = [amount.fault for amount in amounts if amount.fault is not None]
    distinct = {(amount.money.amount, amount.money.currency) for amount in amounts if amount.money is not None}
    if len(distinct) == 1 and not own_faults:
        return amounts[0]
    if len(distinct) > 1:
        faults.append(FieldFault("price", "ambiguous", ", ".join(amount.raw.strip() for amount in amounts), origin))
    faults.extend(own_faults)
    faults.extend(amount.fault for amount in specifications.list_price if amount.fault is not None)
    return None


def _amounts(node: Node, name: str, currency: str | None, context: OfferContext, path: str) -> list[_Amount]:
    amounts = []
    for value in node.properties.get(name, ())[:20]:
        if isinstance(value, Node):
            inner = value.text("price", "value", "minValue")
            inner_currency = value.text("priceCurrency", "currency") or currency
            if inner is None:
                continue
            parsed, raw = _parse(inner, inner_currency, context), inner
        else:
            text = text_of(value) or ""
            raw = text
            if not text.strip():
                continue
            parsed = _parse(ElementText(text) if isinstance(value, LinkText) else value, currency, context)
        fault = None
        if parsed.fault is not None:
            field_name = "list_price" if name == "crossedOutPrice" else "price"
            fault = FieldFault(field_name, parsed.fault.code, parsed.fault.text, Origin(node.syntax, f"{path}.{name}"))
        amounts.append(_Amount(parsed.value, raw, f"{path}.{name}", fault))
    return amounts


def _parse(value: str, currency: str | None, context: OfferContext) -> Parsed[Money]:
    parse = parse_text_price if isinstance(value, ElementText) else parse_markup_price
    hint = context.currency_hint
    return parse(str(value), currency, hint=hint)


def _currency(nodes: Sequence[Node]) -> str | None:
    return next((text for node in nodes for text in node.texts("priceCurrency", "currency") if text.strip()), None)


def _price_type(node: Node) -> str:
    text = next(iter(node.texts("priceType")), None) or next(iter(node.urls("priceType")), None) or ""
    return re.sub(r"[^a-z]", "", text.rstrip("/").rpartition("/")[2].rpartition(":")[2].lower())


def _specification_kind(node: Node, context: OfferContext) -> str:
    price_type = _price_type(node)
    if price_type in _LIST_PRICE_TYPES:
        return "list"
    if not _SUBSCRIPTION_PROPERTIES.isdisjoint(node.properties):
        return "subscription_price"
    if (
        price_type in _OTHER_PRICE_TYPES
        or node.has_type(_OTHER_PRICE_NODES)
        or not _MEMBER_PROPERTIES.isdisjoint(node.properties)
        or _is_unit_price(node)
        or _is_bulk(node)
    ):
        return "other_price_type"
    return _date_refusal([node], context) or ("sale" if price_type in _SALE_PRICE_TYPES else "plain")


def _is_unit_price(node: Node) -> bool:
    """Return True for a price per 100 pages or per kilogram: its reference quantity is not one piece."""
    for quantity in node.nodes("referenceQuantity"):
        unit = (quantity.text("unitCode", "unitText") or "C62").strip().upper()
        value = (quantity.text("value") or "1").strip()
        if unit not in {"C62", "H87", "EA", "PIECE", "ITEM"} or value not in {"1", "1.0"}:
            return True
    unit = (node.text("unitCode", "unitText") or "C62").strip().upper()
    return unit not in {"C62", "H87", "EA", "PIECE", "ITEM", "BOOK"} and "UnitPriceSpecification" in node.types


def _is_bulk(node: Node) -> bool:
    for quantity in node.nodes("eligibleQuantity"):
        minimum = parse_count(quantity.text("minValue", "value") or "1").value
        if minimum is not None and minimum > 1:
            return True
    return False


def _find_refusal(offer: Node, parents: list[Node], context: OfferContext) -> str | None:
    """Return the code of the reason why an offer is not the price for everyone today."""
    if not _MEMBER_PROPERTIES.isdisjoint(offer.properties):
        return "member_price"
    if _is_bulk(offer):
        return "bulk_price"
    functions = list(offer.texts("businessFunction"))
    if functions and not any("sell" in text.lower() for text in functions):
        return "not_for_sale"  # a rental, a repair
    if "Demand" in offer.types:
        return "demand"
    return _date_refusal([offer, *parents], context)


def _date_refusal(nodes: Sequence[Node], context: OfferContext) -> str | None:
    if context.today is None:
        return None
    for node in nodes:
        for text in node.texts("priceValidUntil", "validThrough", "availabilityEnds"):
            end = _read_date(text)
            if end is not None and end < context.today:
                return "expired"
        for text in node.texts("validFrom", "availabilityStarts"):
            start = _read_date(text)
            if start is not None and start > context.today and "availabilityStarts" not in node.properties:
                return "not_yet_valid"
    return None


def _read_date(text: str) -> date | None:
    match = _ISO_DATE.match(text.strip())
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def _read_availability(offer: Node, parents: list[Node], raw: dict[str, str]) -> tuple[str, int | None]:
    state, stock = "unknown", None
    for node in (offer, *parents):
        for value in node.properties.get("availability", ()):
            text = (value.url("url") or value.text("name") or value.id or "") if isinstance(value, Node) else str(value)
            texts = [text, value.text] if isinstance(value, LinkText) else [text]
            for candidate in texts:
                availability = parse_availability(candidate).value
                if availability is None:
                    continue
                if availability.state is not None and state == "unknown":
                    state = availability.state.value
                    raw["availability"] = candidate
                if availability.stock is not None and stock is None:
                    stock = availability.stock
                    raw["stock"] = candidate
        for text in node.texts("inventoryLevel"):
            count = parse_count(text).value
            if count is not None:
                stock, raw["stock"] = count, text
                break
    return state, stock


def _read_condition(offer: Node) -> str | None:
    for text in (*offer.urls("itemCondition"), *offer.texts("itemCondition")):
        if _USED.search(text):
            return "used"
        if "new" in text.lower():
            return "new"
    return None


def _read_format(offer: Node, book: Node) -> str | None:
    if offer is book:
        return None
    things = [offer, *(thing for thing in offer.nodes("itemOffered") if thing is not book)]
    for thing in things:
        for text in thing.texts("bookFormat"):
            if (value := parse_format(text).value) is not None:
                return value.value
    for text in offer.texts("name", "category", "additionalType"):
        if len(text) <= 100 and (value := parse_format(text).value) is not None and value.value != "other":
            return value.value
    return None


def _is_own(offer: Node, seller: str | None, context: OfferContext) -> bool:
    if seller is None:
        return True
    if seller.strip().casefold() in context.sellers:
        return True
    for node in offer.nodes("seller", "offeredBy"):
        url = join_url(context.base_url, node.url("url") or "") if node.url("url") else None
        if url and (urlsplit(url).hostname or "").removeprefix("www.") == context.host:
            return True
    return False


def page_currency(nodes: Sequence[Node]) -> str | None:
    """Return the currency of the page's prices if they all have the same."""
    codes = {
        code for node in nodes for text in node.texts("priceCurrency") if (code := parse_currency(text)) is not None
    }
    return next(iter(codes)) if len(codes) == 1 else None

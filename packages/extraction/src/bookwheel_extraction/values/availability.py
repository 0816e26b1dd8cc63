"""Parses availability and numbers of copies."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

from bookwheel_extraction.values.counts import MAX_COUNT
from bookwheel_extraction.values.numerals import MAX_NUMBER_LENGTH, normalize_numbers
from bookwheel_extraction.values.parsed import Parsed, refuse


class AvailabilityState(StrEnum):
    IN_STOCK = "in_stock"
    OUT_OF_STOCK = "out_of_stock"
    PRE_ORDER = "pre_order"
    BACK_ORDER = "back_order"
    DISCONTINUED = "discontinued"


@dataclass(frozen=True, slots=True)
class Availability:
    """`stock` is the stated number of copies, or None."""

    state: AvailabilityState
    stock: int | None = None


_SCHEMA = re.compile(r"(?i)^(?:https?://(?:www\.)?schema\.org/|schema:)|/$")
_SCHEMA_STATES = MappingProxyType(
    {
        "instock": AvailabilityState.IN_STOCK,
        "limitedavailability": AvailabilityState.IN_STOCK,
        "onlineonly": AvailabilityState.IN_STOCK,
        "instoreonly": AvailabilityState.IN_STOCK,
        "lowstock": AvailabilityState.IN_STOCK,
        "outofstock": AvailabilityState.OUT_OF_STOCK,
        "oos": AvailabilityState.OUT_OF_STOCK,
        "soldout": AvailabilityState.OUT_OF_STOCK,
        "preorder": AvailabilityState.PRE_ORDER,
        "presale": AvailabilityState.PRE_ORDER,
        "backorder": AvailabilityState.BACK_ORDER,
        "discontinued": AvailabilityState.DISCONTINUED,
    }
)
_DISCONTINUED = r"""discontinued|out of print|no longer available
|nicht mehr (?:lieferbar|erhältlich|verfügbar)|vergriffen|plus disponible|arrêt de commercialisation
|descatalogado|ya no disponible|fuori catalogo|fuori produzione|niet meer (?:leverbaar|verkrijgbaar)
|uit de handel"""
_PRE_ORDER = r"""pre-? ?orders?|pre-?sale|coming soon|not yet (?:published|released)|vorbestell\w*
|vorbestellbar|noch nicht erschienen|erscheint (?:am|im|voraussichtlich)|à paraître|pré-?commande\w*|preventa
|pre-?venta|próximamente|prossimamente|pre-?ordin\w*|prenota\w*|in prenotazione|in uscita|nog niet verschenen
|verschijnt|pre-?orderen|reserveer|reserveren"""
_BACK_ORDER = r"""back-? ?orders?|back-? ?ordered|on backorder|wird nachbestellt|nachbestellt
|in nachlieferung|sur commande|bajo pedido|por encargo|su ordinazione|op bestelling|in nabestelling|on order"""
_OUT_OF_STOCK = r"""out[- _]?of[- _]?stock|sold[- _]?out|not in stock|no stock
|not (?:currently |yet )?available|unavailable|ausverkauft
|nicht (?:\w+ )?(?:auf lager|vorrätig|lieferbar|verfügbar|erhältlich)|en rupture(?: de stock)?
|rupture de stock|épuisé|indisponible|non disponible|pas (?:\w+ )?(?:en stock|disponible)|agotado
|sin (?:stock|existencias)|no disponible|fuera de stock|esaurito|non (?:\w+ )?disponibile|non in magazzino
|indisponibile|uitverkocht|niet (?:\w+ )?(?:op voorraad|leverbaar|beschikbaar|verkrijgbaar)
|tijdelijk uitverkocht|slutsåld|udsolgt|utsolgt"""
_IN_STOCK = r"""in[- _]?stock|available|limited availability|low stock|in store|auf lager|vorrätig
|lieferbar|verfügbar|sofort lieferbar|en stock|disponible|dispo|en existencia|disponibile|in magazzino
|disponibilità immediata|op voorraad|leverbaar|beschikbaar|i lager|på lager"""
_STATES = tuple(
    (state, re.compile(rf"(?<!\w)(?:{phrases})(?!\w)".replace("\n", "")))
    for state, phrases in (
        (AvailabilityState.DISCONTINUED, _DISCONTINUED),
        (AvailabilityState.OUT_OF_STOCK, _OUT_OF_STOCK),
        (AvailabilityState.PRE_ORDER, _PRE_ORDER),
        (AvailabilityState.BACK_ORDER, _BACK_ORDER),
    )
)
_LABEL = re.compile(
    r"^(?:availability|stock(?: status)?|status|verfügbarkeit|lagerbestand|disponibilité|disponibilidad|disponibilità"
    r"|beschikbaarheid|voorraad) ?[:=] ?"
)
_LEADING_WORDS = r"(?:(?:currently|now|item|still|yes|only|sofort|derzeit|aktuell|wieder|actuellement|nur noch) )?"
_IN_STOCK_START = re.compile(rf"{_LEADING_WORDS}(?:{_IN_STOCK})(?!\w)".replace("\n", ""))
_LATER = re.compile(
    r"(?:available|lieferbar|verfügbar|disponible|disponibile|leverbaar|beschikbaar)"
    r" (?:from|in|on|ab|à partir|desde|dal|vanaf|op)\b"
)
_COPIES = r"(?:copies|copy|items?|units?|pieces?|pcs|books?|stück|exemplare?|exemplaires?|ejemplares|copie|stuks)"
_NUMBER = r"(?<![\d.,/-])([0-9]{1,3}(?:[,.' ][0-9]{3})+|[0-9]+)(?![.,]\d)"
_HAVE = (
    r"(?:available|left|remaining|in[ _-]?stock|auf lager|verfügbar|vorrätig|lieferbar|en stock|disponibles?"
    r"|disponibili|op voorraad|beschikbaar)"
)
# A number counts copies only if it stands alone or the text says so: "2 copies", "only 3 left", "In stock (5)". Double
# spaces are removed before, because the optional spaces in the second pattern would make it slow.
_STOCK_PATTERNS = (
    re.compile(rf"^{_NUMBER}$"),
    re.compile(
        rf"{_NUMBER} ?\+?(?: ?cop(?:ies|y)\b|(?: ?(?:more|{_COPIES}))?(?: (?:are|is))?(?: (?:currently|still))? ?"
        rf"{_HAVE}\b)"
    ),
    re.compile(
        r"(?:(?:in[ _-]?stock|auf lager|vorrätig|en stock|op voorraad) ?[:(=]?"
        rf"|\b(?:stock|available|availability|{_COPIES}|left|quantity|qty|lagerbestand|bestand|voorraad) ?[:(=]) ?"
        rf"{_NUMBER} ?(?:{_COPIES})?(?:\)|$)"
    ),
)
_NOT_EXACT = re.compile(r"\d ?\+|\bover \d|\bmore than \d|\bmehr als \d|\bplus de \d|[<>]")


def parse_availability(value: object) -> Parsed[Availability]:
    """Parse schema.org's values or a text: `InStock`, `In stock (19 available)`, `Nicht vorrätig`.

    A text of unknown meaning has no value and no fault, because unknown is not out of stock.
    """
    if value is None or value == "":
        return Parsed()
    if not isinstance(value, str):
        return refuse("not_an_availability", value)
    return _parse(value) if len(value) <= MAX_NUMBER_LENGTH else Parsed()


@lru_cache(maxsize=4096)
def _parse(found: str) -> Parsed[Availability]:
    text = normalize_numbers(found).lower()
    compact = re.sub(r"[^a-z]", "", _SCHEMA.sub("", _SCHEMA.sub("", text)))
    schema_state = _SCHEMA_STATES.get(compact)
    if schema_state and not any(map(str.isdigit, text)):
        return Parsed(Availability(schema_state, _stock_of(schema_state, None)))
    text = _LABEL.sub("", text)
    states = [state for state, pattern in _STATES if pattern.search(text)]
    copies, is_exact = _copies(text)
    if states:
        return Parsed(Availability(states[0], _stock_of(states[0], copies if is_exact else None)))
    if copies is not None:
        state = AvailabilityState.IN_STOCK if copies else AvailabilityState.OUT_OF_STOCK
        return Parsed(Availability(state, copies if is_exact else None))
    is_in_stock = _IN_STOCK_START.match(text) and not _LATER.match(text)
    return Parsed(Availability(AvailabilityState.IN_STOCK)) if is_in_stock else Parsed()


def _stock_of(state: AvailabilityState, copies: int | None) -> int | None:
    return 0 if state in (AvailabilityState.OUT_OF_STOCK, AvailabilityState.DISCONTINUED) else copies


def _copies(text: str) -> tuple[int | None, bool]:
    """Return the number of copies that a text states, and whether it is exact and no bound such as `10+`."""
    match = next((match for pattern in _STOCK_PATTERNS if (match := pattern.search(text))), None)
    if match is None:
        return None, False
    count = int(re.sub(r"\D", "", match[1]))
    return count, count <= MAX_COUNT and _NOT_EXACT.search(text) is None

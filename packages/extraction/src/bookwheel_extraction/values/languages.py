"""Parses languages to their primary subtag, with the language registry and CLDR's names."""

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import langcodes
from langcodes.tag_parser import LanguageTagError

from bookwheel_extraction.values.parsed import Parsed, refuse

_MAX_LENGTH = 200
_LABEL = re.compile(
    r"(?i)^\s*(?:(?:original |text )?language|sprache|langue|idioma|lengua|lingua|taal|język|språk|sprog)\s*[:=]\s*"
)
_URI = re.compile(r"(?i)^https?://\S+[/#]([a-z]{2,3}(?:-[a-z0-9]+)*)/?$")
_TAG = re.compile(r"(?a)[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")
_REGION = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")
_SEVERAL = re.compile(r"\s*(?:[,;/|&+]|\band\b|\bund\b|\bet\b)\s*")
_VARIETY = re.compile(
    r"(?i)^(?:british|american|us|uk|australian|canadian|brazilian|european|mexican|latin american|castilian|simplified"
    r"|traditional|swiss|austrian)\s+(\w+)$"
)
_INVERTED = re.compile(r"(?i)^(\w+), modern\b")  # "Greek, Modern (1453-)"
_NAME = re.compile(
    r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff\u0e00-\u0e7f' -]){1,60}"
)  # langcodes drops other signs
_NO_NAMES = frozenset({"roman", "a", "the"})
"""Words that the names of languages contain but that are none in a book's data."""
_NO_LANGUAGE = frozenset({"und", "zxx", "mis"})
_ABBREVIATIONS = MappingProxyType(
    {"engl": "en", "dtsch": "de", "dt": "de", "deu": "de", "franz": "fr", "frz": "fr", "span": "es", "ital": "it"}
)
_MAIN_LANGUAGES = MappingProxyType(
    {
        "cmn": "zh",
        "arb": "ar",
        "pes": "fa",
        "zsm": "ms",
        "swh": "sw",
        "ekk": "et",
        "lvs": "lv",
        "npi": "ne",
        "uzn": "uz",
    }
)
"""The macrolanguage of its most common member, as books state it."""


@dataclass(frozen=True, slots=True)
class Language:
    """`code` is the primary subtag, such as `en`; `tag` is the full BCP 47 tag, such as `en-US`."""

    code: str
    tag: str


def parse_language(value: object) -> Parsed[Language]:
    """Parse `eng`, `en_US`, `English`, `Deutsch`, `English (US)` or `Language: English`.

    Several named languages are a fault. The codes for undetermined and for multiple languages are no language.
    """
    if value is None or value == "":
        return Parsed()
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return refuse("not_a_language", value)
    return _parse(value)


@lru_cache(maxsize=4096)
def _parse(found: str) -> Parsed[Language]:
    text = " ".join(_LABEL.sub("", found).split()).strip(" .:")
    uri = _URI.match(text)
    text = uri[1] if uri else text
    if not text or text.casefold() in _NO_LANGUAGE:
        return Parsed()
    language = _find_tag(text)
    if language is not None:
        return Parsed() if language.code == "mul" else Parsed(language)
    inverted = _INVERTED.match(text)
    parts = [inverted[1]] if inverted else [part for part in _SEVERAL.split(_REGION.sub("", text)) if part]
    languages = [_find_tag(part) or _find_name(part) for part in parts]
    codes = {language.code if language else None for language in languages}
    if None in codes or not languages:
        return refuse("unknown_language", found)
    return refuse("several_languages", found) if len(codes) > 1 else Parsed(languages[0])


def _find_tag(text: str) -> Language | None:
    if not _TAG.fullmatch(text):
        return None
    try:
        language = langcodes.Language.get(text)
    except LanguageTagError:
        return None
    code = language.language
    if not code or code in _NO_LANGUAGE or not language.is_valid():
        return None
    return Language(_MAIN_LANGUAGES.get(code, code), language.to_tag())


def _find_name(text: str) -> Language | None:
    name = _REGION.sub("", text).strip(" .")
    abbreviation = _ABBREVIATIONS.get(name.casefold())
    if abbreviation:
        return Language(abbreviation, abbreviation)
    if not _NAME.fullmatch(name) or name.casefold() in _NO_NAMES:
        return None
    variety = _VARIETY.match(name)
    try:
        code = langcodes.find(variety[1] if variety else name).language
    except LookupError:
        return None
    return Language(_MAIN_LANGUAGES.get(code, code), code) if code else None

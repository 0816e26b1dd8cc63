"""Parses categories to a path from general to special."""

import re
from functools import lru_cache
from types import MappingProxyType

from bookwheel_extraction.values.parsed import Parsed, refuse
from bookwheel_extraction.values.text import clean_label

_MAX_LENGTH = 2000
_MAX_LABELS = 50
_SEPARATOR = re.compile(r"\s*(?:[>\u203a\xbb\u2192|\\\n\u27a4\u25b8\u25b6]|::|\s/\s)\s*")
_BISAC_CODE = re.compile(r"(?<!\w)([A-Z]{3})\d{6}(?!\w)")
_HOME = frozenset(
    """home homepage start startseite accueil inicio início principal forside hem etusivu főoldal главная ホーム 首页
    shop store""".split()
) | {
    "home page",
    "main page",
    "página principal",
    "pagina principale",
    "strona główna",
    "all categories",
    "zur startseite",
    "you are here",
    "du bist hier",
    "sie sind hier",
}
_HERE = re.compile(
    r"(?i)^(?:you are here|sie sind hier|du bist hier|vous êtes ici|estás aquí|sei qui|je bent hier)\s*:\s*"
)
_BISAC_SUBJECTS = MappingProxyType(
    dict(
        line.strip().split(" ", 1)
        for line in """ANT Antiques & Collectibles
        ARC Architecture
        ART Art
        BIB Bibles
        BIO Biography & Autobiography
        BUS Business & Economics
        CGN Comics & Graphic Novels
        CKB Cooking
        COM Computers
        CRA Crafts & Hobbies
        DES Design
        DRA Drama
        EDU Education
        FAM Family & Relationships
        FIC Fiction
        FOR Foreign Language Study
        GAM Games & Activities
        GAR Gardening
        HEA Health & Fitness
        HIS History
        HOM House & Home
        HUM Humor
        JNF Juvenile Nonfiction
        JUV Juvenile Fiction
        LAN Language Arts & Disciplines
        LAW Law
        LCO Literary Collections
        LIT Literary Criticism
        MAT Mathematics
        MED Medical
        MUS Music
        NAT Nature
        OCC Body, Mind & Spirit
        PER Performing Arts
        PET Pets
        PHI Philosophy
        PHO Photography
        POE Poetry
        POL Political Science
        PSY Psychology
        REF Reference
        REL Religion
        SCI Science
        SEL Self-Help
        SOC Social Science
        SPO Sports & Recreation
        STU Study Aids
        TEC Technology & Engineering
        TRA Transportation
        TRU True Crime
        TRV Travel
        YAF Young Adult Fiction
        YAN Young Adult Nonfiction""".splitlines()
    )
)
"""The subjects that the first three letters of a BISAC code name."""


def parse_categories(value: object, title: str | None = None) -> Parsed[tuple[str, ...]]:
    """Return the path from general to special, without Home and the book's title.

    `value` is a text such as `Home > Fiction > Crime`, a BISAC heading or code, or a list of texts. Of a list of paths
    the first one counts.
    """
    if value is None or value == "":
        return Parsed()
    if isinstance(value, str) and len(value) <= _MAX_LENGTH:
        parsed = _parse_text(value)
        if parsed.value is None or len(parsed.value) < 2 or title is None:
            return parsed
        paths: list[tuple[str, ...]] | None = [parsed.value]
    elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value if item is not None):
        paths = [_split(item) for item in value[:_MAX_LABELS] if item and len(item) <= _MAX_LENGTH]
    else:
        paths = None
    if paths is None:
        return refuse("not_a_category", value)
    paths = [path for path in paths if path]
    path = next((path for path in paths if len(path) > 1), None) or tuple(label for path in paths for label in path)
    return Parsed(_without_title(path, title) or None)


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> Parsed[tuple[str, ...]]:
    return Parsed(tuple(dict.fromkeys(_split(text))) or None)


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...]:
    """Return the labels of one text."""
    cleaned = _HERE.sub("", clean_label(text) or "")
    codes = _BISAC_CODE.findall(cleaned)
    cleaned = _BISAC_CODE.sub("", cleaned).strip(" -:,;()")
    if not cleaned and codes:
        subject = _BISAC_SUBJECTS.get(codes[0])
        return (subject,) if subject else ()
    labels: list[str] = []
    for part in _SEPARATOR.split(cleaned):
        label = part.strip(" /-:")
        is_label = any(map(str.isalpha, label)) and label.casefold() not in _HOME
        if is_label and (not labels or labels[-1].casefold() != label.casefold()):
            labels.append(label)
    if len(labels) > 1 and labels[-1].casefold() == "general":  # of a BISAC heading
        labels.pop()
    return tuple(labels)


def _without_title(path: tuple[str, ...], title: str | None) -> tuple[str, ...]:
    """Drop the last label of a breadcrumb if it is the book's title, whole or shortened."""
    folded_title = " ".join((title or "").casefold().split())
    distinct = tuple(dict.fromkeys(path))
    if len(distinct) < 2 or not folded_title:
        return distinct
    last = distinct[-1].casefold()
    stem = last.removesuffix("\u2026").removesuffix("...").rstrip()
    is_title = last == folded_title or (stem != last and len(stem) >= 5 and folded_title.startswith(stem))
    return distinct[:-1] if is_title else distinct

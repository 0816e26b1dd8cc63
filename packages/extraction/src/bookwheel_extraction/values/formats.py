"""Parses the format of an edition."""

import re
from enum import StrEnum
from functools import lru_cache

from bookwheel_extraction.values.parsed import Parsed, refuse
from bookwheel_extraction.values.text import clean_line

_MAX_LENGTH = 500


class BookFormat(StrEnum):
    HARDCOVER = "hardcover"
    PAPERBACK = "paperback"
    EBOOK = "ebook"
    AUDIOBOOK = "audiobook"
    OTHER = "other"


_SCHEMA = re.compile(r"(?i)^(?:https?://(?:www\.)?schema\.org/|schema:)")
_PATTERNS = (
    (
        BookFormat.AUDIOBOOK,
        r"""audio ?-?(?:book|cd|download|cassette)s?|audiobookformat|audio|audible|hörbuch|hör-?cd
|hörspiel|livre audio|audiolibro|luisterboek|ljudbok|lydbog|lydbok|mp3(?:[- ]?cd)?|cd audio|äänikirja
|аудиокнига|オーディオブック""",
    ),
    (
        BookFormat.EBOOK,
        r"""e-?books?|e-?pub(?: ?[23])?|kindle(?: (?:edition|ebook|ausgabe))?|pdf|mobi|azw3?
|digital(?: (?:edition|book))?|e-?livre|livre numérique|numérique|libro electrónico|libro digitale
|ebook-?format|e-?bog|e-?bok|e-?kirja|электронная книга|電子書籍|电子书""",
    ),
    (
        BookFormat.HARDCOVER,
        r"""hard ?-?(?:cover|back|bound)s?|hbk?|hc|hdbk|casebound|cloth(?: ?bound)?|gebunden(?:e ausgabe|es buch)?
|festeinband|leinen(?:einband)?|pappband|relié|cartonné|couverture rigide|tapa dura|cartoné|encuadernado
|rilegato|copertina rigida|cartonato|gebonden|harde kaft|twarda(?: oprawa| okładka)?|oprawa twarda
|inbunden|indbundet|innbundet|capa dura|kovakantinen|твердый переплет|ハードカバー|精装""",
    ),
    (
        BookFormat.PAPERBACK,
        r"""(?:mass[- ]market |trade )?paper ?-?backs?|pbk?|soft ?-?(?:cover|back)s?|mass[- ]market
|taschenbuch|broschiert|broschur|kartoniert|klappenbroschur|softcover|flexcover|broché|poche|livre de poche
|couverture souple|tapa blanda|rústica|rustica|libro de bolsillo|bolsillo|brossura|brossurato
|copertina flessibile|tascabile|paperbacks?|zachte kaft|ingenaaid|miękka(?: oprawa| okładka)?
|oprawa miękka|pocket(?:boek|bok)?|häftad|hæftet|heftet|capa mole|brochura|pehmeäkantinen|мягкий переплет
|文庫|平装""",
    ),
    (
        BookFormat.OTHER,
        r"""graphic ?novel|board ?book|pappbilderbuch|spiral(?:-?bound|bindung)?|ring-?bound|loose ?-?leaf
|calendar|kalender|map|landkarte|game|spiel|cards|box(?:ed)? set|library binding|leather(?: ?bound)?|leder|dvd
|poster|stationery|large print|großdruck|gros caractères|comic|magazine|zeitschrift|sheet music|noten
|vinyl|audio-?visual""",
    ),
)
_FORMATS = tuple(
    (name, re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])".replace("\n", ""), re.IGNORECASE))
    for name, pattern in _PATTERNS
)


def parse_format(value: object) -> Parsed[BookFormat]:
    """Parse schema.org's `bookFormat` or a text: `https://schema.org/EBook`, `Taschenbuch`, `Hardcover, 320 pages`.

    A text that names two formats, such as `Paperback or Kindle`, is refused.
    """
    if value is None or value == "":
        return Parsed()
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return refuse("not_a_format", value)
    return _parse(value)


@lru_cache(maxsize=4096)
def _parse(found: str) -> Parsed[BookFormat]:
    text = _SCHEMA.sub("", clean_line(found) or "").rstrip("/")
    if not text:
        return Parsed()
    rest, formats = text, []
    for name, pattern in _FORMATS:  # a matched phrase is removed, so that "audio book" is no "book"
        rest, count = pattern.subn(" ", rest)
        if count:
            formats.append(name)
    if len(formats) == 2 and BookFormat.OTHER in formats:  # "Large print paperback"
        formats.remove(BookFormat.OTHER)
    if len(formats) > 1:
        return refuse("several_formats", found)
    return Parsed(formats[0]) if formats else refuse("unknown_format", found)

"""Parses the contributors of a book, with their roles."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from bookwheel_extraction.values.parsed import Parsed, refuse
from bookwheel_extraction.values.text import clean_line

_MAX_LENGTH = 10_000
_MAX_NAME_LENGTH = 1000
MAX_CONTRIBUTORS = 100


class Role(StrEnum):
    AUTHOR = "author"
    EDITOR = "editor"
    TRANSLATOR = "translator"
    ILLUSTRATOR = "illustrator"
    NARRATOR = "narrator"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Contributor:
    """`name` is as found: `Ann Lee` or `Lee, Ann`."""

    name: str
    role: Role = Role.AUTHOR


_ROLE_WORDS = MappingProxyType(
    {
        Role.AUTHOR: """author authors autor autorin auteur auteurs autore autora autores writer writers verfasser
        författare forfatter aut""",
        Role.EDITOR: """editor editors ed eds hrsg hg herausgeber herausgeberin éditeur directeur a_cura_di curatore
        coordinador coord redacteur redaktör edt red""",
        Role.TRANSLATOR: """translator translators trans tr transl übersetzer übersetzerin übers traducteur traductrice
        trad traductor traductora traduttore traduttrice vertaler översättare tłumacz trl""",
        Role.ILLUSTRATOR: """illustrator illustrators illus ill illustratorin illustrateur illustratrice ilustrador
        ilustradora illustratore illustratrice illustraties illustrations artist zeichner ilustr""",
        Role.NARRATOR: """narrator narrators reader sprecher sprecherin narrateur narratrice lecteur lectrice narrador
        narradora narratore voorlezer inläsare nrt read_by gelesen_von""",
        Role.OTHER: """foreword preface introduction afterword contributor contributors photographer cover designer
        publisher vorwort nachwort préface préfacier prólogo prefazione voorwoord fotograf photographe composer actor
        commentary compiler adapter collaborator mitwirkender beitrag kommentar cover_artist cover_design colorist inker
        letterer penciller series_editor producer director""",
    }
)
_ROLES = MappingProxyType(
    {word.replace("_", " "): role for role, words in _ROLE_WORDS.items() for word in words.split()}
)
_PHRASES = MappingProxyType(
    {
        Role.EDITOR: (
            "edited by",
            "herausgegeben von",
            "hrsg. von",
            "sous la direction de",
            "edición de",
            "a cura di",
            "editado por",
            "onder redactie van",
        ),
        Role.TRANSLATOR: (
            "translated by",
            "translation by",
            "übersetzt von",
            "aus dem englischen von",
            "traduit par",
            "traduction de",
            "traducido por",
            "traducción de",
            "tradotto da",
            "traduzione di",
            "vertaald door",
            "vertaling",
        ),
        Role.ILLUSTRATOR: (
            "illustrated by",
            "illustrations by",
            "pictures by",
            "drawings by",
            "illustriert von",
            "illustrationen von",
            "illustré par",
            "illustrations de",
            "ilustrado por",
            "ilustraciones de",
            "illustrato da",
            "illustrazioni di",
            "geïllustreerd door",
            "illustraties van",
        ),
        Role.NARRATOR: (
            "narrated by",
            "read by",
            "gelesen von",
            "gesprochen von",
            "lu par",
            "narrado por",
            "leído por",
            "letto da",
            "voorgelezen door",
        ),
        Role.OTHER: (
            "foreword by",
            "introduction by",
            "preface by",
            "afterword by",
            "mit einem vorwort von",
            "préface de",
            "prólogo de",
            "with a foreword by",
            "cover by",
            "photographs by",
        ),
        Role.AUTHOR: ("written by", "written and illustrated by", "by", "text by", "geschrieben von", "escrito por"),
    }
)
_ROLES_BY_PHRASE = MappingProxyType({phrase: role for role, phrases in _PHRASES.items() for phrase in phrases})
_PHRASE = re.compile(
    r"(?i)(?:^|(?<=[\s,;(|/]))("
    + "|".join(re.escape(phrase) for phrase in sorted(_ROLES_BY_PHRASE, key=len, reverse=True))
    + r")\s*:?\s+"
)
_LABEL = re.compile(r"(?i)^([^\W\d_]+)(?:\(s\)|\(n\)|en|in)?\s*:\s*")
_BRACKETED_ROLE = re.compile(r"\s*[(\[]([^()\[\]]{1,60})[)\]]\.?\s*$")
_AFTER_BRACKET = re.compile(r"(?<=[)\]])\s*(?:[,&/]|\b(?:and|und|et|y|e|en)\b)\s*")
_HARD_SEPARATOR = re.compile(r"\s*(?:[;|\n\u2022\xb7]|\s/\s)\s*")
_AND = re.compile(r"\s+(?:&|and|und|et|y|e|en|och|og)\s+|\s*,\s*(?:&|and)\s+")
_ET_AL = re.compile(
    r"(?i)[\s,]*(?:\bet\.? al\b\.?|\bu\. ?a\.|\band others\b|\bund andere\b|\be altri\b|\by otros\b|\u2026|\.\.\.)\s*$"
)
_ROLE_SEPARATOR = re.compile(r"\s*(?:,|&|/|\band\b|\bund\b)\s*")
_SENTENCE_END = re.compile(r"(?<=[^\W\d_]{3})\.$(?<!\bjr\.)(?<!\bJr\.)")
_SHARED_ROLES = frozenset(
    "eds editors translators illustrators narrators authors hrsg hg herausgeber trad coord dir".split()
)
"""Role words behind several names that are the role of all of them. Another is of the last name."""
_NO_NAME = frozenset({"n/a", "na", "unknown", "unknown author", "unbekannt", "inconnu", "none", "null", "-", "author"})
_PARTICLES = frozenset(
    """le la les de del della di da du des van von der den ten ter zu zur el al st st. saint san santa mac o' dos das
    ben ibn abu""".split()
)
_SUFFIX = re.compile(r"(?i)^(?:jr|sr|ii|iii|iv|ph\.? ?d|m\.? ?d|esq|md|dds|m\.? ?a|d\.? ?d|rn|mba)\.?$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.[ -]?){1,5}|[^\W\d_]{1,2}")


def parse_contributors(value: object, role: Role = Role.AUTHOR) -> Parsed[tuple[Contributor, ...]]:
    """Parse a text or a list of texts, in the page's order, without duplicates.

    `role` is the role of names without their own: `Ann Lee (Illustrator)` and `illustrated by Ann Lee` have one.
    A text can contain several names: `Ann Lee and Bo Kay`, `Ann Lee; Bo Kay`. `Lee, Ann` is one name.
    """
    values = value if isinstance(value, list | tuple) else [value]
    contributors: list[Contributor] = []
    for item in values:
        if item is None or item == "":
            continue
        if not isinstance(item, str) or len(item) > _MAX_LENGTH:
            return refuse("not_a_name", item)
        contributors.extend(_parse_text(item, role))
        if len(contributors) > MAX_CONTRIBUTORS:
            return refuse("too_many", item)
    if not contributors:
        return Parsed()
    if any(len(contributor.name) > _MAX_NAME_LENGTH for contributor in contributors):
        return refuse("too_long", contributors[0].name)
    return Parsed(merge_contributors([contributors]))


def merge_contributors(groups: Iterable[Sequence[Contributor]]) -> tuple[Contributor, ...]:
    """Return the distinct contributors of several statements in their order."""
    merged: dict[tuple[str, Role], Contributor] = {}
    for contributor in (contributor for group in groups for contributor in group):
        merged.setdefault((contributor.name.casefold(), contributor.role), contributor)
    return tuple(merged.values())


def parse_role(value: object) -> Role | None:
    """Return the first role that a text names: `Illustrator`, `Hrsg.`, `Translated by`; None for another text."""
    return next(iter(_parse_roles(value)), None) if isinstance(value, str) and len(value) <= 60 else None


def _parse_roles(text: str) -> list[Role]:
    folded = " ".join(text.split()).strip(" .:()[]").casefold()
    roles = [_ROLES.get(part.strip(" .")) or _ROLES_BY_PHRASE.get(part) for part in _ROLE_SEPARATOR.split(folded)]
    return [role for role in dict.fromkeys(roles) if role] if all(roles) else []


def _parse_text(text: str, role: Role) -> Iterable[Contributor]:
    line = clean_line(text)
    for part in _HARD_SEPARATOR.split(line or ""):
        for chunk in _AFTER_BRACKET.split(part):
            yield from _parse_chunk(chunk, role)


def _parse_chunk(chunk: str, role: Role) -> Iterable[Contributor]:
    """Parse names with at most one role behind them, and phrases such as `illustrated by` before them."""
    label = _LABEL.match(chunk)
    labeled_role = _ROLES.get(label[1].casefold()) if label else None
    if label and labeled_role:
        chunk, role = chunk[label.end() :], labeled_role
    position, phrase_role = 0, role
    for phrase in _PHRASE.finditer(chunk):
        yield from _parse_names(chunk[position : phrase.start()], phrase_role)
        position, phrase_role = phrase.end(), _phrase_role(phrase[1], role)
    yield from _parse_names(chunk[position:], phrase_role)


def _phrase_role(phrase: str, role: Role) -> Role:
    """Return the phrase's role. A plain `by` keeps the role of the field, such as narrator."""
    return role if phrase.casefold() == "by" else _ROLES_BY_PHRASE[phrase.casefold()]


def _parse_names(text: str, role: Role) -> Iterable[Contributor]:
    text = _ET_AL.sub("", text).strip(" ,:-\u2013&")
    text, roles_text = _cut_roles(text)
    roles = _parse_roles(roles_text) or [role]
    names = [name.strip(" ,:") for name in _split_names(_SENTENCE_END.sub("", text))]
    names = [name for name in names if _is_name(name)]
    for position, name in enumerate(names, start=1):
        is_last = position == len(names)
        is_shared = not roles_text or roles_text.casefold().strip(" .") in _SHARED_ROLES
        for name_role in roles if is_last or is_shared else [role]:
            yield Contributor(name, name_role)


def _cut_roles(text: str) -> tuple[str, str]:
    """Cut the roles behind names: `Ann Lee (Illustrator)`, `Ann Lee, Illustrator`."""
    bracketed = _BRACKETED_ROLE.search(text)
    if bracketed and _parse_roles(bracketed[1]):
        return text[: bracketed.start()].strip(" ,"), bracketed[1]
    head, comma, tail = text.rpartition(",")
    return (head.strip(), tail) if comma and head and _parse_roles(tail) else (text, "")


def _is_name(text: str) -> bool:
    return text.casefold() not in _NO_NAME and any(map(str.isalpha, text)) and "://" not in text


def _split_names(text: str) -> list[str]:
    """Split `Ann Lee, Bo Kay and Cy Mu`, but neither `Lee, Ann` nor `Simon & Schuster`."""
    names = [name for part in _AND.split(text) for name in _split_commas(part)]
    if len(names) > 1 and all(_is_full_name(name) for name in names):
        return names
    names = _split_commas(text)
    return names if len(names) == 1 or all(_is_full_name(name) for name in names) else [text]


def _split_commas(text: str) -> list[str]:
    parts: list[str] = []
    for part in re.split(r"\s*,\s*", text.strip(" ,")):
        if parts and _SUFFIX.match(part):
            parts[-1] = f"{parts[-1]}, {part}"
        else:
            parts.append(part)
    if len(parts) == 1 or all(_is_full_name(part) and not _is_inverted_start(part) for part in parts):
        return parts if not _is_inverted(parts) else [text]
    if len(parts) % 2 == 0 and len(parts) > 2 and all(map(_is_inverted, zip(parts[::2], parts[1::2], strict=True))):
        return [f"{family}, {given}" for family, given in zip(parts[::2], parts[1::2], strict=True)]
    return [text]


def _is_full_name(name: str) -> bool:
    """Whether a name has a given and a family name, in either order."""
    return len(name.replace(",", " ").split()) >= 2


def _is_inverted_start(part: str) -> bool:
    return part.split(maxsplit=1)[0].casefold() in _PARTICLES


def _is_inverted(parts: Sequence[str]) -> bool:
    """Whether two parts are a family name and given names: `Lee, Ann`, `Le Guin, Ursula K.`, `Tolkien, J. R. R.`"""
    if len(parts) != 2:
        return False
    family, given = (part.split() for part in parts)
    return len(family) == 1 or len(given) == 1 or _INITIALS.fullmatch(given[-1]) is not None

"""Generates titles, authors and descriptions, including irregular ones, from random values."""

import re
from collections.abc import Sequence
from enum import StrEnum

from bookwheel_demo_shop.draws import Draws
from bookwheel_demo_shop.vocabulary import (
    ADJECTIVES,
    FAMILY_NAMES,
    FOREIGN_TITLES,
    GIVEN_NAMES,
    MARKER_SENTENCES,
    NOUNS,
    PLACES,
    SENTENCES,
    SUBTITLES,
)

MARKER_SHARE = 0.28
LONG_DESCRIPTION_SENTENCES = 300


class Quirk(StrEnum):
    """Irregular data of a book, as in real shops."""

    NONE = "none"
    NO_DESCRIPTION = "no description"
    FOREIGN_TITLE = "foreign title"
    QUOTES = "quotes"
    MARKUP = "markup"
    LONG = "long"
    TWIN_TITLE = "twin title"


QUIRK_SHARES = {
    Quirk.NO_DESCRIPTION: 0.03,
    Quirk.FOREIGN_TITLE: 0.03,
    Quirk.QUOTES: 0.015,
    Quirk.MARKUP: 0.015,
    Quirk.LONG: 0.005,
    Quirk.TWIN_TITLE: 0.015,
}


def quirk_at(fraction: float) -> Quirk:
    """Returns the quirk for a random `fraction` in [0, 1)."""
    for quirk, share in QUIRK_SHARES.items():
        fraction -= share
        if fraction < 0:
            return quirk
    return Quirk.NONE


def write_title(draws: Draws, quirk: Quirk) -> str:
    plain = _plain_title(draws)
    match quirk:
        case Quirk.FOREIGN_TITLE:
            pattern, words = draws.pick(FOREIGN_TITLES)
            return pattern.format(draws.pick(words), draws.pick(words))
        case Quirk.QUOTES:
            return draws.pick((f'"{plain}" and Other Stories', f"O'Malley's {plain}", f"“{plain}”: Not Over Yet"))
        case Quirk.MARKUP:
            return draws.pick(
                (f"{plain} <Second Edition>", f"Salt &amp; {plain}", f"<b>{plain}</b> & More", f"{plain} &#8212; 5 > 3")
            )
        case Quirk.LONG:
            return f"{plain}: {', '.join(_plain_title(draws) for _ in range(12))}"
        case _:
            return plain


def _plain_title(draws: Draws) -> str:
    adjective, noun, other = draws.pick(ADJECTIVES), draws.pick(NOUNS), draws.pick(NOUNS)
    name, place = draws.pick(GIVEN_NAMES), draws.pick(PLACES)
    title = draws.pick(
        (
            f"The {adjective} {noun}",
            f"The {noun} of {place}",
            f"{name} and the {adjective} {noun}",
            f"{adjective} {noun}, {draws.pick(ADJECTIVES)} {other}",
            f"The {noun}'s {other}",
            f"A {noun} for {name}",
            f"Leaving {place}",
            f"How to Find a {adjective} {noun}",
        )
    )
    title = _correct_articles(title)
    if draws.chance(0.12):
        return f"{title} ({place} Chronicles #{1 + draws.below(9)})"
    return f"{title}: {draws.pick(SUBTITLES)}" if draws.chance(0.3) else title


def write_authors(draws: Draws) -> tuple[str, ...]:
    """Returns one to three different names."""
    count = 1 + draws.chance(0.15) + draws.chance(0.15)
    return tuple(
        dict.fromkeys(f"{draws.pick(GIVEN_NAMES)} {draws.pick(FAMILY_NAMES)}" for _ in range(count)),
    )


def write_description(draws: Draws, quirk: Quirk) -> tuple[str | None, frozenset[str]]:
    """Returns a description or None, and the marker words in it."""
    if quirk is Quirk.NO_DESCRIPTION:
        return None, frozenset()
    name, place = draws.pick(GIVEN_NAMES), draws.pick(PLACES)

    def sentence(choices: Sequence[str]) -> str:
        adjective, noun, other = draws.pick(ADJECTIVES).lower(), draws.pick(NOUNS).lower(), draws.pick(NOUNS).lower()
        return draws.pick(choices).format(name=name, place=place, adjective=adjective, noun=noun, other=other)

    count = LONG_DESCRIPTION_SENTENCES if quirk is Quirk.LONG else 3 + draws.below(4)
    sentences = [sentence(SENTENCES) for _ in range(count)]
    if quirk is Quirk.MARKUP:
        sentences.append('He wrote "x < y & y > z" on the wall, and &lt;nobody&gt; understood it.')
    markers = frozenset(word for word in MARKER_SENTENCES if draws.chance(MARKER_SHARE))
    for word, choices in MARKER_SENTENCES.items():
        if word in markers:
            sentences.insert(draws.below(len(sentences) + 1), sentence(choices))
    return _correct_articles(" ".join(sentences)), markers


def _correct_articles(text: str) -> str:
    """Replaces "a ocean" by "an ocean"."""
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU])", r"\1n ", text)

"""Search weights and typo rules, for both engines.

A score is a sum of these weights. They are multiples of 1/8, so 32-bit floats add them exactly in any order. A score
therefore depends on the book and the query alone: a cursor by score stays valid after merges and other changes.
"""

from bookwheel_stores.search.fields import TEXT_FIELDS
from bookwheel_stores.search.queries import Clause

FIELD_WEIGHTS = {"title": 3.0, "subtitle": 1.0, "author": 2.0, "category": 1.0, "description": 1.0}
"""The score of a match, by text field."""
TYPO_WEIGHT = 0.5
EXACT_TITLE_WEIGHT, TITLE_START_WEIGHT, TITLE_PHRASE_WEIGHT = 16.0, 4.0, 2.0
"""Added if all required words are the title, its beginning, or a phrase in it."""


def weighted_fields(name: str | None) -> list[tuple[str, float]]:
    """The index fields to search in and their weights, for a text field or (None) for all of them."""
    return [(TEXT_FIELDS[key].index_name, FIELD_WEIGHTS[key]) for key in (FIELD_WEIGHTS if name is None else [name])]


def allowed_typos(word: str) -> int:
    """As Elasticsearch's `AUTO:4,8`."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


def clause_typos(clause: Clause) -> int:
    """The number of typos with which the clause's single word also matches."""
    return 0 if clause.exact or len(clause.words) > 1 else allowed_typos(clause.words[0])


def title_factor(title_words: int, number: int) -> float:
    """The factor of a book's score, from 1.968 to 2: shorter titles rank higher, and book numbers break ties.

    There are 2,048 tie-breaking values because a 24-bit mantissa cannot hold more.
    """
    return 2 - (min(title_words, 31) + number % 2048 / 2048) / 1000

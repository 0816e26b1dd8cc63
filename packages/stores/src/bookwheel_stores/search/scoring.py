"""Search weights and typo rules, for both engines.

A score is a sum of these weights times the `title_factor` of the book. The weights are multiples of 1/8, so 32-bit
floats add them exactly in any order. A score therefore depends only on the book and the query, and a score cursor stays
valid after merges and other changes.
"""

from bookwheel_stores.search.fields import TEXT_FIELDS
from bookwheel_stores.search.queries import Clause

FIELD_WEIGHTS = {"title": 3.0, "subtitle": 1.0, "author": 2.0, "category": 1.0, "description": 1.0}
"""The score of a match, by text field."""
TYPO_WEIGHT = 0.5
EXACT_TITLE_WEIGHT, TITLE_START_WEIGHT, TITLE_PHRASE_WEIGHT = 16.0, 4.0, 2.0
"""Added if all required words are the title, its beginning, or a phrase in it."""


def weighted_fields(name: str | None) -> list[tuple[str, float]]:
    """Return the index fields and weights of a text field; None selects all text fields."""
    return [(TEXT_FIELDS[key].index_name, FIELD_WEIGHTS[key]) for key in (FIELD_WEIGHTS if name is None else [name])]


def allowed_typos(word: str) -> int:
    """Return the number of allowed typos: `AUTO:4,8` of Elasticsearch."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


def clause_typos(clause: Clause) -> int:
    """Return the number of allowed typos in a clause; 0 for phrases and exact words."""
    return 0 if clause.exact or len(clause.words) > 1 else allowed_typos(clause.words[0])


def title_factor(title_words: int, number: int) -> float:
    """Return the factor of a score, from 1.968 to 2. Shorter titles rank higher, and book numbers break ties.

    There are 2,048 tie-breaking values. With many more, rounding to 32 bits would make scores equal.
    """
    return 2 - (min(title_words, 31) + number % 2048 / 2048) / 1000

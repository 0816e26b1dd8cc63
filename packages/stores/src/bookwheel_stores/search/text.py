"""Reads what a person types into a search box."""

import re

from bookwheel_stores.search.folding import folded_words
from bookwheel_stores.search.queries import Clause, TextQuery

_PART = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def parse_text(text: str, *, name: str | None = None) -> TextQuery:
    """Words, `"phrases"`, and either with a minus in front of it to exclude it. Never fails.

    Words must match in any of the full-text fields, or in `name` where given. A word that punctuation divides, such as
    `sci-fi`, is a phrase. Text without any letter or digit gives a query without clauses, which matches nothing.
    """
    required: list[Clause] = []
    excluded: list[Clause] = []
    for part in _PART.finditer(text):
        quoted = part["phrase"] is not None
        words = tuple(folded_words(part["phrase"] if quoted else part["word"]))
        if not words:
            continue
        if part["minus"]:
            excluded.append(Clause(words, name, exact=True))
        else:
            required.append(Clause(words, name, exact=quoted))
    whole = tuple(word for clause in required for word in clause.words)
    return TextQuery(tuple(required), tuple(excluded), whole)

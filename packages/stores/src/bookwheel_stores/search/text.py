"""Fold text to plain words for indexing and searching, and parse search input."""

import re
import unicodedata

from bookwheel_stores.search.queries import Clause, TextQuery

MAX_WORD_LENGTH = 64

# Letters without a Unicode decomposition. Users often type them without the stroke or ligature.
_PLAIN_LETTERS = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ħ": "h",
    "ŧ": "t",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ð": "d",
    "\u0131": "i",
    "ĸ": "k",
}
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019\u02bc](?=\w)")
# Text in Chinese characters and hiragana has no spaces. Each character is a word, as in Lucene.
_IDEOGRAPHS = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\W_{_IDEOGRAPHS}]{{1,{MAX_WORD_LENGTH}}}")
# A fast path for ASCII: letters and digits in lower case, all other characters as spaces.
_ASCII = bytes(ord(chr(code).lower()) if chr(code).isascii() and chr(code).isalnum() else 32 for code in range(256))
_QUERY_PART = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')


def fold_words(text: str) -> list[str]:
    """Return words without case, diacritics and punctuation: `"Don't stop, Łódź!"` gives `["dont", "stop", "lodz"]`.

    Words longer than `MAX_WORD_LENGTH` are split.
    """
    if text.isascii():
        plain = _fold_ascii(text)
        return _WORD.findall(plain) if _has_long_word(plain) else plain.split()
    bare = unicodedata.normalize("NFKD", text).casefold()
    for character in set(bare):  # there are fewer distinct characters than positions
        letters = "" if unicodedata.category(character) == "Mn" else _PLAIN_LETTERS.get(character)
        if letters is not None:
            bare = bare.replace(character, letters)
    return _WORD.findall(_APOSTROPHE.sub("", unicodedata.normalize("NFC", bare)))


def fold(text: str) -> str:
    """Return the folded words, joined by single spaces."""
    return " ".join(fold_words(text))


def fold_quickly(text: str) -> str:
    """Return the folded words, separated by one or more spaces. Three times as fast as `fold` for a description."""
    if text.isascii():
        plain = _fold_ascii(text)
        if not _has_long_word(plain):
            return plain
    return fold(text)


def _fold_ascii(text: str) -> str:
    if "'" in text:
        text = _APOSTROPHE.sub("", text)
    return text.encode().translate(_ASCII).decode()


def _has_long_word(plain: str) -> bool:
    start = 0
    while len(plain) - start > MAX_WORD_LENGTH:
        space = plain.rfind(" ", start, start + MAX_WORD_LENGTH + 1)
        if space < 0:
            return True
        start = space + 1
    return False


def parse_text(text: str, *, field: str | None = None) -> TextQuery:
    """Parse words and `"phrases"`. A leading minus excludes a word or a phrase. Never fails.

    Words must match in any text field, or in `field`. A word with punctuation inside, such as `sci-fi`, is a
    phrase. Text without letters or digits gives a query without clauses, which matches nothing.
    """
    required: list[Clause] = []
    excluded: list[Clause] = []
    for part in _QUERY_PART.finditer(text):
        is_quoted = part["phrase"] is not None
        words = tuple(fold_words(part["phrase"] if is_quoted else part["word"]))
        if not words:
            continue
        if part["minus"]:
            excluded.append(Clause(words, field, exact=True))
        else:
            required.append(Clause(words, field, exact=is_quoted))
    return TextQuery(tuple(required), tuple(excluded), tuple(word for clause in required for word in clause.words))

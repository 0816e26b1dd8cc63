"""Folds text to plain searchable words, the same way when a book is indexed and when it is searched."""

import re
import unicodedata

MAX_WORD_LENGTH = 64

# Letters that Unicode does not decompose, though readers type them without their stroke or ligature.
_PLAIN = str.maketrans(
    {
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
)
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019\u02bc](?=\w)")
# Chinese characters and hiragana are written without spaces: each is a word, as in Lucene's standard analyzer.
_IDEOGRAPHS = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\W_{_IDEOGRAPHS}]{{1,{MAX_WORD_LENGTH}}}")
_ASCII_WORD = re.compile(f"[a-z0-9]{{1,{MAX_WORD_LENGTH}}}")


def folded_words(text: str) -> list[str]:
    """Words without case, diacritics and punctuation: `"Don't stop, Łódź!"` gives `["dont", "stop", "lodz"]`.

    What is longer than `MAX_WORD_LENGTH` is cut into several words.
    """
    if text.isascii():
        plain = text.lower()
        return _ASCII_WORD.findall(_APOSTROPHE.sub("", plain) if "'" in plain else plain)
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    plain = unicodedata.normalize("NFC", bare).translate(_PLAIN)
    return _WORD.findall(_APOSTROPHE.sub("", plain))


def folded(text: str) -> str:
    """The folded words of a text, joined by single spaces."""
    return " ".join(folded_words(text))

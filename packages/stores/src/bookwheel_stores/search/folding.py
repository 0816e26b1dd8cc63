"""Folds text to plain searchable words, the same way when a book is indexed and when it is searched."""

import re
import unicodedata

MAX_WORD_LENGTH = 64

# Letters that Unicode does not decompose, though readers type them without their stroke or ligature.
_PLAIN = {
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
# Chinese characters and hiragana are written without spaces: each is a word, as in Lucene's standard analyzer.
_IDEOGRAPHS = "\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\W_{_IDEOGRAPHS}]{{1,{MAX_WORD_LENGTH}}}")
# Plain text is most text: letters and digits in lower case, anything else a space.
_ASCII = bytes(ord(chr(code).lower()) if chr(code).isascii() and chr(code).isalnum() else 32 for code in range(256))


def folded_words(text: str) -> list[str]:
    """Words without case, diacritics and punctuation: `"Don't stop, Łódź!"` gives `["dont", "stop", "lodz"]`.

    What is longer than `MAX_WORD_LENGTH` is cut into several words.
    """
    if text.isascii():
        plain = _plain_ascii(text)
        return _WORD.findall(plain) if _has_long_word(plain) else plain.split()
    bare = unicodedata.normalize("NFKD", text).casefold()
    for character in set(bare):  # a few dozen: fewer than there are places in the text
        letters = "" if unicodedata.category(character) == "Mn" else _PLAIN.get(character)
        if letters is not None:
            bare = bare.replace(character, letters)
    return _WORD.findall(_APOSTROPHE.sub("", unicodedata.normalize("NFC", bare)))


def folded_text(text: str) -> str:
    """The folded words of a text, parted by spaces, of which there may be several: for who splits at them anyway.

    A third of the time that `folded` takes for a plain description.
    """
    if text.isascii():
        plain = _plain_ascii(text)
        if not _has_long_word(plain):
            return plain
    return folded(text)


def _plain_ascii(text: str) -> str:
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


def folded(text: str) -> str:
    """The folded words of a text, joined by single spaces."""
    return " ".join(folded_words(text))

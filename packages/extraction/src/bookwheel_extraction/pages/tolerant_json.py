"""Parses the JSON of JSON-LD blocks with the errors that real pages have.

A repair never guesses a number: what is not JSON becomes a text, which the parser of the field accepts or refuses.
"""

import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import chompjs

MAX_BLOCK_LENGTH = 8_000_000
MAX_REPAIR_LENGTH = 400_000
_BLANK = "\ufeff \t\r\n\x0b\x0c\xa0"
_ESCAPED_START = re.compile(
    r"(?:[\[{]|&(?:#(?:123|91|x7b|x5b)|lbrace|lcub|lbrack|lsqb);|\s)*&(?:amp;)*(?:quot|#34|#x22);", re.IGNORECASE
)
_WRAPPER = re.compile(r"\s*(?://|/\*)?\s*(?:<!--|<!\[CDATA\[)\s*(?:\*/|//)?\s*", re.IGNORECASE)
_WRAPPER_END = re.compile(r"\s*(?://|/\*)?\s*(?:-->|\]\]>)\s*(?:\*/|//)?\s*;?\s*\Z")
_COMMENT_AT_START = re.compile(r"\s*<!--.*?-->\s*(?=[\[{<])", re.DOTALL)
_ASSIGNMENT = re.compile(r"(?:(?:var|let|const)\s+)?[\w.$]+\s*=\s*(?=[\[{])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BARE = re.compile(r'[^"/<,:{}\[\]\s]+|[/<]|[^\S\n]+')
_JSON_LITERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_NO_VALUE = frozenset({"", "undefined", "NaN", "None", "nil", "Infinity", "-Infinity"})
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x([0-9a-fA-F]{2})|.)", re.DOTALL)
_CLOSES_STRING = re.compile(r'\s*+(?:[:\]}]|\Z|,\s*+(?:["\[{\]}\d-]|true\b|false\b|null\b))')
_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_SEPARATORS = re.compile(r"[\s,;]*")
_SCRIPT_SYNTAX = re.compile(r"['`]|[{,]\s*[A-Za-z_$][\w$]*\s*:")
_SCRIPT_NUMBER = re.compile(
    r"""("(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|`(?:[^`\\]|\\.)*+`)|(?<=[:\[,\s])([+\-.]?\d[\w.+\-]*)(?=\s*[,\]}])""",
    re.DOTALL,
)


class JsonError(ValueError):
    """`line` counts from 1 within the block."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _merge_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keep all values of a repeated member as a list."""
    data = dict(pairs)
    if len(data) == len(pairs):
        return data
    values_by_name: dict[str, list[Any]] = {}
    for name, value in pairs:
        values = values_by_name.setdefault(name, [])
        values.extend(value if isinstance(value, list) else [value])
    return {
        name: values[0] if len(values) == 1 or name.startswith("@") else values
        for name, values in values_by_name.items()
    }


# Numbers stay as written: a float would lose digits of an ISBN and the trailing zeros of a price.
_DECODER = json.JSONDecoder(
    strict=False, parse_float=str, parse_int=str, parse_constant=lambda _: None, object_pairs_hook=_merge_members
)


def parse_json(text: str) -> list[Any]:
    """Return the top-level values of a block. Raises JsonError."""
    if len(text) > MAX_BLOCK_LENGTH:
        raise JsonError(f"the block is longer than {MAX_BLOCK_LENGTH} characters", 1)
    text = text.strip(_BLANK)
    if not text:
        return []
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        first_error = error
    if len(text) <= MAX_REPAIR_LENGTH:
        for repaired in _repairs(text):
            try:
                return _decode(repaired)
            except ValueError:
                continue
            except RecursionError:
                break
    raise _describe(first_error)


def _describe(error: Exception) -> JsonError:
    if isinstance(error, json.JSONDecodeError):
        return JsonError(error.msg, error.lineno)
    return JsonError("the block is nested too deeply", 1)


def _decode(text: str) -> list[Any]:
    """Decode one value, or several that follow each other."""
    values = []
    position = 0
    while position < len(text):
        value, position = _DECODER.raw_decode(text, position)
        values.append(value)
        match = _SEPARATORS.match(text, position)
        position = match.end() if match else position
    return values


def _repairs(text: str) -> Iterator[str]:
    """Yield the text with more and more repairs."""
    if _ESCAPED_START.match(text):
        for _ in range(2):
            text = html.unescape(text)
            yield text
            if not _ESCAPED_START.match(text):
                break
    text = _remove_wrappers(text)
    yield text
    yield _rebuild(text)
    yield _rebuild(_escape_inner_quotes(text))
    if _SCRIPT_SYNTAX.search(text):
        with suppress(ValueError):
            yield _parse_script_object(text)


def _remove_wrappers(text: str) -> str:
    while (match := _COMMENT_AT_START.match(text)) is not None:
        text = text[match.end() :]
    for _ in range(3):
        match = _WRAPPER.match(text)
        if match is None:
            break
        text = text[match.end() :]
        tail = text[-100:]
        match = _WRAPPER_END.search(tail)
        if match is not None:
            text = text[: len(text) - len(tail) + match.start()]
    if (match := _ASSIGNMENT.match(text)) is not None:
        text = text[match.end() :]
    return text.strip(_BLANK + ";")


class _Rebuilder:
    """Writes JSON from tokens: without comments and superfluous commas, with quotes around bare values."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._output: list[str] = []
        self._last = ""
        """The last token that is not a space."""
        self._brackets: list[str] = []
        self._bare: list[str] = []

    def rebuild(self) -> str:
        text = self._text
        while self._position < len(text):
            character = text[self._position]
            if character == '"':
                if not self._write_string():
                    break
            elif character in "{}[]":
                self._write_bracket(character)
            elif character == ",":
                self._write_comma()
            elif character == ":" and not self._bare:
                self._write(character)
            elif character == "\n":
                self._flush_bare()
                self._position += 1
            elif not self._skip_comment():
                match = _BARE.match(text, self._position)
                part = match[0] if match else character
                if self._bare or not part.isspace():
                    self._bare.append(part)
                self._position += len(part)
        self._flush_bare()
        return "".join(self._output)

    def _write_bracket(self, bracket: str) -> None:
        self._flush_bare()
        if bracket in "{[":
            self._write_comma_between_values()
            self._brackets.append(bracket)
        else:
            self._fill_value()
            if self._last == ",":
                self._output[-1] = ""
            if self._brackets:
                self._brackets.pop()
        self._write(bracket)

    def _write(self, token: str, length: int = 1) -> None:
        self._output.append(token)
        self._last = token
        self._position += length

    def _write_string(self) -> bool:
        """Write a string. Return False if it has no end: the rest of the text is written unchanged."""
        self._flush_bare()
        match = _STRING.match(self._text, self._position)
        if match is None:
            self._output.append(self._text[self._position :])
            return False
        self._write_comma_between_values()
        token = match[0]
        self._write(_ESCAPE.sub(_repair_escape, token) if "\\" in token else token, len(token))
        return True

    def _write_comma_between_values(self) -> None:
        if self._last and self._last not in "{[,:" and self._brackets:
            self._output.append(",")

    def _write_comma(self) -> None:
        if self._bare and self._brackets[-1:] == ["{"] and not self._is_followed_by_member():
            self._bare.append(",")  # a decimal comma
            self._position += 1
            return
        self._flush_bare()
        self._fill_value()
        if self._last in {"", ",", "{", "["}:
            self._position += 1
        else:
            self._write(",")

    def _is_followed_by_member(self) -> bool:
        position = self._position + 1
        while position < len(self._text) and self._text[position] in " \t\r\n,":
            position += 1
        return position >= len(self._text) or self._text[position] in '"}]/'

    def _fill_value(self) -> None:
        if self._last == ":":
            self._output.append("null")
            self._last = "null"

    def _flush_bare(self) -> None:
        value = "".join(self._bare).strip()
        self._bare.clear()
        if not value:
            return
        if value in _NO_VALUE:
            value = "null"
        elif _JSON_LITERAL.fullmatch(value) is None:
            if self._last not in {":", "["} and not (self._last == "," and self._brackets[-1:] == ["["]):
                self._output.append(value)  # not a value: the decoder refuses it
                self._last = value
                return
            value = json.dumps(value)
        self._output.append(value)
        self._last = value

    def _skip_comment(self) -> bool:
        text, position = self._text, self._position
        for start, end in (("//", "\n"), ("/*", "*/"), ("<!--", "-->")):
            if text.startswith(start, position):
                end_position = text.find(end, position + len(start))
                self._position = len(text) if end_position < 0 else end_position + len(end)
                return True
        return False


def _rebuild(text: str) -> str:
    return _Rebuilder(text).rebuild()


def _repair_escape(match: re.Match[str]) -> str:
    escape = match[0]
    if match[1]:
        return f"\\u00{match[1]}"
    if len(escape) > 2 or escape[1] in '"\\/bfnrt':
        return escape
    return escape[1] if escape[1] in "'`\n" else f"\\{escape}"


def _escape_inner_quotes(text: str) -> str:
    """Escape quotes within strings: a quote ends a string only if a separator of JSON follows."""
    parts: list[str] = []
    position, is_inside = 0, False
    for match in _QUOTE.finditer(text):
        if match[0] != '"':
            continue
        parts.append(text[position : match.start()])
        position = match.end()
        if not is_inside:
            is_inside = True
            parts.append('"')
        elif _CLOSES_STRING.match(text, position):
            is_inside = False
            parts.append('"')
        else:
            parts.append('\\"')
    parts.append(text[position:])
    return "".join(parts)


def _parse_script_object(text: str) -> str:
    """Return a JavaScript object as JSON. Bare numbers become texts, because JavaScript reads `012` as 10."""
    quoted = _SCRIPT_NUMBER.sub(lambda match: match[1] or json.dumps(match[2]), text)
    return json.dumps(chompjs.parse_js_object(quoted, loader_kwargs={"strict": False}))

import os
from pathlib import Path

import pytest

from tools.documentation import Example, errors, examples, matches

DOCUMENT = """\
Text.

```sh
$ make up
```

```console
$ NAME=world
$ printf 'hello %s\\n' "$NAME" \\
>   there
hello world
hello there
```

```console
$ echo "again $NAME"; seq 4
again …
1
…
4
```
"""


def test_only_console_blocks_are_examples() -> None:
    assert list(examples(DOCUMENT)) == [
        Example(8, "NAME=world", ""),
        Example(9, "printf 'hello %s\\n' \"$NAME\" \\\n  there", "hello world\nhello there\n"),
        Example(16, 'echo "again $NAME"; seq 4', "again …\n1\n…\n4\n"),
    ]


def test_a_correct_document_has_no_errors(tmp_path: Path) -> None:
    path = tmp_path / "tour.md"
    path.write_text(DOCUMENT)
    assert errors(path, folder=tmp_path, environment=os.environ) == []


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("$ echo yes\nno", "output:\nyes"),
        ("$ false", "exit status 1"),
        ("$ true\nsomething", "expected:\nsomething"),
        ("$ echo something", "output:\nsomething"),
        ("$ echo first; exit 0\n…\n$ echo second\nsecond", "was not run: echo second"),
    ],
)
def test_a_mismatch_is_reported_with_its_line(tmp_path: Path, block: str, expected: str) -> None:
    path = tmp_path / "tour.md"
    path.write_text(f"```console\n{block}\n```\n")
    texts = errors(path, folder=tmp_path, environment=os.environ)
    assert texts
    assert expected in texts[-1]


def test_replacements_are_applied_to_the_document(tmp_path: Path) -> None:
    path = tmp_path / "tour.md"
    path.write_text("```console\n$ echo http://127.0.0.1:8080/docs\nhttp://127.0.0.1:8080/docs\n```\n")
    replacements = {"127.0.0.1:8080": "127.0.0.1:9999"}
    assert errors(path, folder=tmp_path, environment=os.environ, replacements=replacements) == []


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("", "", True),
        ("…", "", True),
        ("…", "a\nb", True),
        ("a\n…\nb", "a\n1\n2\nb", True),
        ("a\n…\nb", "a\n1\n2\nc", False),
        ("id: … done", "id: 7 done", True),
        ("id: … done", "id: 7\ndone", False),
        ("a.c", "abc", False),
        ("a  \n\n", "a", True),
    ],
)
def test_an_ellipsis_matches_any_text(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same

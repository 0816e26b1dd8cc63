"""Runs the commands of a document and compares their output with the documented output.

A fenced `console` block has commands after `$ ` (continued after `> `) and their expected output. `…` matches anything
within a line, and a line of only `…` matches any lines. The blocks of a document are one shell session: later
blocks see variables of earlier ones. Other blocks (`sh`, `text`) are not run.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "\x1e"  # ASCII's record separator, which no command prints


@dataclass(frozen=True, slots=True)
class Example:
    """A command and its documented output. `line` is its line in the document, from 1."""

    line: int
    command: str
    expected: str


@dataclass(frozen=True, slots=True)
class Outcome:
    example: Example
    status: int
    output: str

    @property
    def matches_documentation(self) -> bool:
        return self.status == 0 and matches(self.example.expected, self.output)


def examples(document: str) -> Iterator[Example]:
    for block in _BLOCK.finditer(document):
        line = document.count("\n", 0, block.start(1)) + 1
        for entry in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
            if entry.startswith("$ "):
                command, expected = [entry[2:].split("\n", 1)[0]], entry.split("\n")[1:]
                while expected and expected[0].startswith("> "):
                    command.append(expected.pop(0)[2:])
                yield Example(line, "\n".join(command), "\n".join(expected))
            line += entry.count("\n")


def matches(expected: str, output: str) -> bool:
    """Whether the output matches the documented output. Ignores trailing white space."""
    pattern = "\n".join(_line_pattern(line.rstrip()) for line in expected.rstrip().splitlines())
    actual = "\n".join(line.rstrip() for line in output.rstrip().splitlines())
    return re.fullmatch(pattern, actual) is not None


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return r"[\s\S]*?"
    return ".*".join(re.escape(part) for part in line.split("…"))


def run(
    documented: Sequence[Example], *, folder: Path, environment: Mapping[str, str], seconds: float = 120
) -> list[Outcome]:
    """Runs the commands in one shell. The output includes standard error."""
    steps = [f"{example.command}\nprintf '%s%s%s' '{_END}' $? '{_END}'" for example in documented]
    script = "exec 2>&1 </dev/null\n" + "\n".join(steps)
    process = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds,
        check=False,
    )
    parts = process.stdout.split(_END)
    return [
        Outcome(example, int(status), output)
        for example, output, status in zip(documented, parts[::2], parts[1::2], strict=False)
    ]


def errors(
    path: Path,
    *,
    folder: Path,
    environment: Mapping[str, str],
    replacements: Mapping[str, str] | None = None,
    seconds: float = 120,
) -> list[str]:
    """Runs a document's examples and returns an error text, with the line and both outputs, for each mismatch.

    `replacements` are applied to the document first, for example to use the URL of the suite under test.
    """
    document = path.read_text()
    for old, new in (replacements or {}).items():
        document = document.replace(old, new)
    documented = list(examples(document))
    outcomes = run(documented, folder=folder, environment=environment, seconds=seconds)
    texts = [
        f"{path}:{outcome.example.line}: {outcome.example.command}\n"
        f"exit status {outcome.status}, output:\n{outcome.output}\nexpected:\n{outcome.example.expected}"
        for outcome in outcomes
        if not outcome.matches_documentation
    ]
    texts += [f"{path}:{example.line}: was not run: {example.command}" for example in documented[len(outcomes) :]]
    return texts

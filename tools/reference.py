"""Writes docs/reference/settings.md from the settings classes themselves, so that it can't be wrong for long.

With `--check`, says whether the file is current instead.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path

from bookwheel_runtime.settings import Settings
from pydantic.fields import FieldInfo

from tools.pages import keep_current

PAGE = Path("docs/reference/settings.md")
INTRODUCTION = """\
# Settings

Made by `make docs` from the settings classes. Every process reads its settings from the environment once, at start, and
refuses to start with a wrong one. `make up` sets what the processes of one machine need.
"""


def settings_modules(root: Path) -> Iterator[str]:
    """Import names of the parts' `settings` modules, by path."""
    for folder in ("packages", "services", "demo-shop", "deploy"):
        for path in sorted((root / folder).rglob("src/*/settings.py")):
            if path.parent.name != "bookwheel_runtime":  # holds the base class, whose fields all others show
                yield f"{path.parent.name}.settings"


def variable(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    return alias if isinstance(alias, str) else f"{Settings.model_config['env_prefix']}{name}".upper()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=False)
    return "none" if default in (None, "") else f"`{default}`"


def table(kind: type[Settings]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in kind.model_fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{variable(name, field)}` | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def page(root: Path) -> str:
    sections = [INTRODUCTION]
    for module_name in settings_modules(root):
        module = importlib.import_module(module_name)
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Settings) and kind.__module__ == module_name:
                summary = (kind.__doc__ or "").strip().splitlines()
                sections += [f"## {kind.__name__}", *summary[:1], table(kind)]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def main() -> int:
    return keep_current(PAGE, page(Path.cwd()))


if __name__ == "__main__":
    raise SystemExit(main())

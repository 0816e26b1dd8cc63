"""What is made from the Helm chart: its README's table, the renders that tests compare, and the kustomize base.

`readme` needs nothing but the chart; `render` needs helm. With `--check` they say whether the files are current, and
`render` then needs no helm either: each file names the state of the chart that it was made from.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from bookwheel_local.engines import ENGINES, EngineNotInstalledError

DEPLOY = Path("deploy/k8s")
CHART = DEPLOY / "bookwheel"
GOLDEN = DEPLOY / "tests" / "golden"
KUSTOMIZE = DEPLOY / "kustomize"
STORES = ("redis", "postgresql", "elasticsearch", "registry")
_KUBERNETES = "1.34.0"  # what the renders are for; any that the chart allows gives the same
_MADE_FROM = "# Made by `make manifests` from the chart and its values of "
_KEY = re.compile(r"( *)([\w.-]+):(?: (.*))?$")
_HELMS_OWN = ("app.kubernetes.io/managed-by", "helm.sh/chart")
Objects = list[dict[str, Any]]


def readme_rows(values: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of each value that a comment beginning with `--` explains."""
    comment: list[str] = []
    path: list[tuple[int, str]] = []
    for line in values.splitlines():
        text = line.strip()
        if text.startswith("# --"):
            comment = [text.removeprefix("# --").strip()]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif found := _KEY.match(line):
            indent = len(found[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, found[2])]
            if comment:
                yield ".".join(name for _, name in path), (found[3] or "").strip(), " ".join(comment)
            comment = []
        else:
            comment = []


def readme() -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for name, default, meaning in readme_rows((CHART / "values.yaml").read_text()):
        shown = f"`{default}`" if default else "see values.yaml"
        rows.append(f"| `{name}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return (CHART / "README.head.md").read_text() + "\n" + "\n".join(rows) + "\n"


def state_of_chart(*values: Path) -> str:
    """A digest of everything that a render depends on."""
    digest = hashlib.sha256()
    sources = [CHART / "Chart.yaml", CHART / "values.yaml", *sorted((CHART / "templates").rglob("*.*")), *values]
    for path in sources:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def header(*values: Path) -> str:
    names = ", ".join(str(path) for path in values)
    return f"{_MADE_FROM}{names}: {state_of_chart(*values)}\n"


def rendered(values: Path) -> str:
    """What Helm makes of the chart with these values, with what is random in it replaced. Raises CalledProcessError."""
    command = [helm(), "template", "bookwheel", str(CHART), "--kube-version", _KUBERNETES]
    done = subprocess.run(
        [*command, "--namespace", "bookwheel", "--values", str(values)], check=True, capture_output=True, text=True
    )
    objects = loaded(done.stdout)
    for each in objects:
        if each["kind"] == "Secret":
            for part in ("data", "stringData"):
                if part in each:
                    each[part] = dict.fromkeys(each[part], "made at the first install")
    return dumped(objects)


def helm() -> str:
    """The machine's own, or the one that `engines.sh helm` has built. Raises EngineMissing."""
    built = ENGINES / "helm" / "helm"
    found = shutil.which("helm") or (str(built) if built.exists() else None)
    if found is None:
        raise EngineNotInstalledError("Helm", "helm")
    return found


def loaded(text: str) -> Objects:
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def dumped(objects: Objects) -> str:
    return str(yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False, width=120))


def for_kustomize(objects: Objects, *, of_stores: bool) -> Objects:
    """The objects of the bundled stores, or all others; without what is Helm's, and in whatever namespace."""
    kept = [each for each in objects if (_component(each) in STORES) == of_stores]
    for each in kept:
        each["metadata"].pop("namespace", None)
        each["metadata"].pop("annotations", None) if each["kind"] == "PersistentVolumeClaim" else None
        for label in _HELMS_OWN:
            each["metadata"]["labels"].pop(label, None)
    return kept


def _component(each: Mapping[str, Any]) -> str:
    return str(each["metadata"]["labels"]["app.kubernetes.io/component"])


def files() -> dict[Path, tuple[Path, Callable[[str], str]]]:
    """Each file that is rendered: of which values, and what is made of the render."""
    made: dict[Path, tuple[Path, Callable[[str], str]]] = {
        GOLDEN / f"{values.name.removesuffix('-values.yaml')}.yaml": (values, lambda text: text)
        for values in sorted((CHART / "ci").glob("*-values.yaml"))
    }
    for name in ("base", "stores"):
        of_stores = name == "stores"
        made[KUSTOMIZE / name / "bookwheel.yaml"] = (
            KUSTOMIZE / name / "values.yaml",
            lambda text, of_stores=of_stores: dumped(  # type: ignore[misc]  # bound early
                for_kustomize(loaded(text), of_stores=of_stores)
            ),
        )
    return made


def stale() -> Iterator[Path]:
    """The files that were made from another state of the chart. Needs no helm."""
    for path, (values, _) in files().items():
        if not path.exists() or not path.read_text().startswith(header(values)):
            yield path


def render() -> None:
    for path, (values, make) in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header(values) + make(rendered(values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("readme", "render"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = CHART / "README.md"
    if options.what == "readme" and not options.check:
        page.write_text(readme())
    elif options.what == "readme":
        old = [] if page.exists() and page.read_text() == readme() else [page]
        return _report(old, "make docs")
    elif options.check:
        return _report(list(stale()), "make manifests")
    else:
        try:
            render()
        except EngineNotInstalledError as missing:
            print(missing, file=sys.stderr)
            return 1
    return 0


def _report(old: list[Path], verb: str) -> int:
    for path in old:
        print(f"{path} is not current; run `{verb}`", file=sys.stderr)
    if not old:
        print("what is made from the chart is current")
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main())

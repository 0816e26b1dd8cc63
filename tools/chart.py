"""Files generated from the Helm chart: the table of its README, the golden files of its tests, and the kustomize bases.

`readme` reads only the chart; `render` needs helm. With `--check` they report whether the files are current. That needs
no helm: each rendered file names the state of the chart that it was rendered from.
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
_KUBERNETES = "1.34.0"  # every version that the chart allows renders the same
_MADE_FROM = "# Made by `make manifests` from the chart and its values of "
_KEY = re.compile(r"( *)([\w.-]+):(?: (.*))?$")
_HELM_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
Objects = list[dict[str, Any]]


def readme_rows(values: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and meaning of each value with a comment that starts with `--`."""
    comment: list[str] = []
    path: list[tuple[int, str]] = []
    for line in values.splitlines():
        text = line.strip()
        if text.startswith("# --"):
            comment = [text.removeprefix("# --").strip()]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, match[2])]
            if comment:
                yield ".".join(name for _, name in path), (match[3] or "").strip(), " ".join(comment)
            comment = []
        else:
            comment = []


def readme() -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for name, default, meaning in readme_rows((CHART / "values.yaml").read_text()):
        default_text = f"`{default}`" if default else "see values.yaml"
        rows.append(f"| `{name}` | {default_text} | {meaning.replace('|', chr(92) + '|')} |")
    return (CHART / "README.head.md").read_text() + "\n" + "\n".join(rows) + "\n"


def state_of_chart(*values: Path) -> str:
    """A digest of every file that a render depends on."""
    digest = hashlib.sha256()
    sources = [CHART / "Chart.yaml", CHART / "values.yaml", *sorted((CHART / "templates").rglob("*.*")), *values]
    for path in sources:
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def header(*values: Path) -> str:
    names = ", ".join(str(path) for path in values)
    return f"{_MADE_FROM}{names}: {state_of_chart(*values)}\n"


def render_chart(values: Path) -> str:
    """Renders the chart with these values and replaces generated secrets. Raises CalledProcessError."""
    command = [helm(), "template", "bookwheel", str(CHART), "--kube-version", _KUBERNETES]
    process = subprocess.run(
        [*command, "--namespace", "bookwheel", "--values", str(values)], check=True, capture_output=True, text=True
    )
    objects = load_objects(process.stdout)
    for item in objects:
        if item["kind"] == "Secret":
            for part in ("data", "stringData"):
                if part in item:
                    item[part] = dict.fromkeys(item[part], "made at the first install")
    return dump_objects(objects)


def helm() -> str:
    """The path of helm: the machine's, or the one that `engines.sh helm` built. Raises EngineNotInstalledError."""
    built = ENGINES / "helm" / "helm"
    path = shutil.which("helm") or (str(built) if built.exists() else None)
    if path is None:
        raise EngineNotInstalledError("Helm", "helm")
    return path


def load_objects(text: str) -> Objects:
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def dump_objects(objects: Objects) -> str:
    return str(yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False, width=120))


def for_kustomize(objects: Objects, *, of_stores: bool) -> Objects:
    """The objects of the bundled stores, or all others, without namespaces and Helm's own labels."""
    selected = [item for item in objects if (_component(item) in STORES) == of_stores]
    for item in selected:
        item["metadata"].pop("namespace", None)
        if item["kind"] == "PersistentVolumeClaim":
            item["metadata"].pop("annotations", None)
        for label in _HELM_LABELS:
            item["metadata"]["labels"].pop(label, None)
    return selected


def _component(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["labels"]["app.kubernetes.io/component"])


def rendered_files() -> dict[Path, tuple[Path, Callable[[str], str]]]:
    """The rendered files: their values, and the function that transforms the render."""
    sources: dict[Path, tuple[Path, Callable[[str], str]]] = {
        GOLDEN / f"{values.name.removesuffix('-values.yaml')}.yaml": (values, lambda text: text)
        for values in sorted((CHART / "ci").glob("*-values.yaml"))
    }
    for name in ("base", "stores"):
        of_stores = name == "stores"
        sources[KUSTOMIZE / name / "bookwheel.yaml"] = (
            KUSTOMIZE / name / "values.yaml",
            lambda text, of_stores=of_stores: dump_objects(  # type: ignore[misc]  # bound early
                for_kustomize(load_objects(text), of_stores=of_stores)
            ),
        )
    return sources


def stale_files() -> Iterator[Path]:
    """Files that were rendered from another state of the chart. Needs no helm."""
    for path, (values, _) in rendered_files().items():
        if not path.exists() or not path.read_text().startswith(header(values)):
            yield path


def render() -> None:
    for path, (values, transform) in rendered_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header(values) + transform(render_chart(values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", choices=("readme", "render"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = CHART / "README.md"
    if options.output == "readme" and not options.check:
        page.write_text(readme())
    elif options.output == "readme":
        stale = [] if page.exists() and page.read_text() == readme() else [page]
        return _report(stale, "make docs")
    elif options.check:
        return _report(list(stale_files()), "make manifests")
    else:
        try:
            render()
        except EngineNotInstalledError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _report(stale: list[Path], verb: str) -> int:
    for path in stale:
        print(f"{path} is not current; run `{verb}`", file=sys.stderr)
    if not stale:
        print("the files generated from the chart are current")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())

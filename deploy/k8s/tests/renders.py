"""Renders of the chart (golden files, or by helm) and the values of the scenarios."""

import subprocess
from functools import cache
from pathlib import Path

import yaml

from deploy.k8s.tests.manifests import Object
from tools import chart

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ("minimal", "production", "bundled")


@cache
def golden(scenario: str) -> list[Object]:
    return chart.load_objects((ROOT / chart.GOLDEN / f"{scenario}.yaml").read_text())


def values(name: str | None = None) -> Object:
    path = ROOT / chart.CHART / (f"ci/{name}-values.yaml" if name else "values.yaml")
    content: Object = yaml.safe_load(path.read_text())
    return content


def template(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [chart.helm(), "template", "a", str(chart.CHART), "--kube-version", "1.34.0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def production(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return template("--values", f"{chart.CHART}/ci/production-values.yaml", *arguments)

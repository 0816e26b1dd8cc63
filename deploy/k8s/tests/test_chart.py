"""Tests that the chart's rendered objects are valid and current. No cluster is needed.

`golden` contains the rendered objects. Only the tests that render the chart again need helm.
"""

import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from deploy.k8s.tests.manifests import Object
from deploy.k8s.tests.renders import ROOT, SCENARIOS
from tools import chart

CUSTOM_KINDS = ("ScaledObject", "TriggerAuthentication", "ServiceMonitor", "HTTPRoute")
"""Kinds without a schema in Kubernetes itself."""


def test_generated_files_are_current() -> None:
    assert not list(chart.stale_files()), "run `make manifests`"
    assert (ROOT / chart.CHART / "README.md").read_text() == chart.readme(), "run `make docs`"


@pytest.mark.usefixtures("helm")
def test_helm_renders_the_golden_files() -> None:
    for path, (values, transform) in chart.rendered_files().items():
        assert path.read_text() == chart.header(values) + transform(chart.render_chart(values)), path


def test_helm_lint_reports_no_problem(helm: str) -> None:
    for scenario in SCENARIOS:
        command = [helm, "lint", "--strict", str(chart.CHART), "--values", f"{chart.CHART}/ci/{scenario}-values.yaml"]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    for item in objects:
        if item["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(item, version, strict=True)


def test_object_names_are_unique(objects: list[Object]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))


def test_the_chart_has_the_version_of_the_suite() -> None:
    chart_metadata = yaml.safe_load((ROOT / chart.CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert chart_metadata["version"] == chart_metadata["appVersion"] == version[1]

"""The chart as it stands, without a cluster: what it renders to is valid and current.

What Helm made of it is in `golden`. Where helm is there, it is rendered again and compared; everything else needs
Python only, so that no machine leaves it out.
"""

import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from deploy.k8s.tests.manifests import Object
from deploy.k8s.tests.renders import ROOT, SCENARIOS
from tools import chart

OF_OTHERS = ("ScaledObject", "TriggerAuthentication", "ServiceMonitor", "HTTPRoute")
"""Kinds whose schemas are not Kubernetes' own."""


def test_what_is_made_from_the_chart_is_current() -> None:
    assert not list(chart.stale_files()), "run `make manifests`"
    assert (ROOT / chart.CHART / "README.md").read_text() == chart.readme(), "run `make docs`"


@pytest.mark.usefixtures("helm")
def test_helm_renders_what_the_golden_files_hold() -> None:
    for path, (its_values, make) in chart.rendered_files().items():
        assert path.read_text() == chart.header(its_values) + make(chart.render_chart(its_values)), path


def test_helm_finds_nothing_to_complain_of(helm: str) -> None:
    for scenario in SCENARIOS:
        command = [helm, "lint", "--strict", str(chart.CHART), "--values", f"{chart.CHART}/ci/{scenario}-values.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_every_object_is_valid(objects: list[Object], version: str) -> None:
    for item in objects:
        if item["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(item, version, strict=True)


def test_no_two_objects_have_one_name(objects: list[Object]) -> None:
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(names) == len(set(names))


def test_the_version_is_the_suite_s() -> None:
    described = yaml.safe_load((ROOT / chart.CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert described["version"] == described["appVersion"] == version[1]

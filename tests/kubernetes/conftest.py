"""The release that these tests share. They need a cluster, helm and kubectl, and run by `make test-k8s`."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_testing.kubernetes_suite import KubernetesSuite
from bookwheel_testing.suite_under_test import free_port_base

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skips the tests unless `make test-k8s` runs them. Fails without a cluster."""
    if not os.environ.get("BOOKWHEEL_TEST_KUBERNETES"):
        pytest.skip("tests of the Helm chart on a cluster run by `make test-k8s`")
    for program in ("kubectl", "helm"):
        assert shutil.which(program), f"{program} is missing"
    result = subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"the cluster is unavailable: {result.stderr}"


@pytest.fixture(scope="session")
def suite(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesSuite]:
    """The installed suite with the demo shop. The file BOOKWHEEL_TEST_VALUES has values for the cluster in use."""
    values_file = os.environ.get("BOOKWHEEL_TEST_VALUES")
    suite = KubernetesSuite(
        state=tmp_path_factory.mktemp("kubernetes"),
        port_base=free_port_base(),
        books=1000,
        namespace=os.environ.get("BOOKWHEEL_TEST_NAMESPACE", "bookwheel-test"),
        values=[HERE / "values.yaml", *([Path(values_file)] if values_file else [])],
    )
    try:
        suite.up()
        yield suite
    finally:
        if os.environ.get("BOOKWHEEL_TEST_KEEP"):  # to inspect or reuse the release
            suite.disconnect()
        else:
            suite.down()

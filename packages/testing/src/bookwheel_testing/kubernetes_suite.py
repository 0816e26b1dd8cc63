"""A suite on a Kubernetes cluster for tests: a release of the Helm chart in its own namespace."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from bookwheel_contracts import Scope
from bookwheel_local.client import DEMO_USER, SuiteClient
from bookwheel_local.compose import ROOT
from bookwheel_local.errors import LocalError
from bookwheel_local.secrets import get_or_create_password

from bookwheel_testing.container_suite import QUERY_SCRIPT
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import SuiteUnderTest

CHART = ROOT / "deploy/k8s/bookwheel"
RELEASE = "bookwheel"
_START_SECONDS = 900
_ATTEMPTS = 10
_COMPONENT = "app.kubernetes.io/component"


class ClusterError(Exception):
    """kubectl or helm failed. The message has the output of the command."""


def run(*command: str, stdin: str | None = None, seconds: float = 1200) -> str:
    """Returns the command's output. Raises ClusterError."""
    process = subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False, timeout=seconds)
    if process.returncode != 0:
        raise ClusterError(f"{' '.join(command[:8])}: {process.stdout[-2000:]}{process.stderr[-2000:]}")
    return process.stdout


class PortForward(threading.Thread):
    """Forwards a local port to a Service. Restarts `kubectl port-forward`, which ends with its pod."""

    def __init__(self, namespace: str, target: str, ports: str) -> None:
        super().__init__(daemon=True)
        self._command = ["kubectl", "--namespace", namespace, "port-forward", target, ports]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self._process.wait()
            self._stopping.wait(0.5)

    def stop(self) -> None:
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()


@dataclass
class KubernetesSuite(SuiteUnderTest):
    """The suite of `helm install`, with demo shop and demo user. Later files of `values` override earlier files."""

    namespace: str = "bookwheel-test"
    values: Sequence[Path] = ()
    _forwards: list[PortForward] = field(default_factory=list)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin)

    def helm(self, command: str, *arguments: str) -> str:
        return run("helm", command, RELEASE, *arguments, "--namespace", self.namespace)

    def apply(self, *settings: str, wait: bool = True) -> None:
        """Installs or upgrades the release. `settings` are arguments of helm's `--set`. Raises ClusterError."""
        files = [part for path in self.values for part in ("--values", str(path))]
        set_options = [part for setting in settings for part in ("--set", setting)]
        wait_options = ["--wait", "--timeout", f"{_START_SECONDS}s"] if wait else []
        self.helm("upgrade", str(CHART), "--install", *files, *set_options, *wait_options)

    def up(self) -> None:
        labels = "pod-security.kubernetes.io/enforce: restricted"
        namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {self.namespace}, labels: {{{labels}}}}}"
        run("kubectl", "apply", "-f", "-", stdin=namespace)
        self.apply()
        self.connect()

    def connect(self) -> None:
        """Forwards ports to gateway and shop, and creates the demo user."""
        for component, ports in (("gateway", f"{self.port_base}:http"), ("demo-shop", f"{self.port_base + 5}:http")):
            forward = PortForward(self.namespace, f"service/{RELEASE}-{component}", ports)
            forward.start()
            self._forwards.append(forward)
        scopes = " ".join(scope.value for scope in Scope)
        self.exec("accounts", "service", "create-user", DEMO_USER, "--scopes", scopes, stdin=self.demo_password)
        wait_until(self._answers, seconds=60, what="the connection to the gateway")

    def _answers(self) -> bool:
        try:
            return self._http.get(f"{self.url}/livez").status_code == 200
        except httpx.HTTPError:  # the port is not forwarded yet
            return False

    def disconnect(self) -> None:
        self._http.close()
        for forward in self._forwards:
            forward.stop()

    def down(self) -> None:
        self.disconnect()
        run("kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", "--timeout", "300s")

    @property
    def demo_password(self) -> str:
        self.state.mkdir(parents=True, exist_ok=True)
        return get_or_create_password(self.state / "demo-password")

    def exec(self, component: str, *command: str, stdin: str | None = None) -> str:
        """Returns the output of a command in a pod of the component. Raises ClusterError."""
        options = ["--stdin"] if stdin is not None else []
        return self.kubectl("exec", *options, f"deployment/{RELEASE}-{component}", "--", *command, stdin=stdin)

    def processor_command(self, *arguments: str) -> str:
        return self.exec("processor-beat", "service", *arguments)

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        request = json.dumps([query, parameters])
        return [
            tuple(row) for row in json.loads(self.exec("processor-beat", "python", "-c", QUERY_SCRIPT, stdin=request))
        ]

    def _new_token(self) -> str:
        with SuiteClient(self.url, password=self.demo_password) as client:
            return client.token()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Retries if the forwarded connection breaks. It leads to a single pod, which may have been deleted."""
        for _ in range(_ATTEMPTS):
            try:
                return super().request(method, path, **options)
            except (httpx.HTTPError, LocalError):
                time.sleep(1)
        return super().request(method, path, **options)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        options = ["--selector", selector] if selector else []
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, *options, "--output", "json"))["items"]
        return items

    def pods(self, *components: str) -> list[str]:
        """Returns the names of the running pods of these components (default: all)."""
        return [
            pod["metadata"]["name"]
            for pod in self.objects("pods", f"{_COMPONENT} in ({','.join(components)})" if components else _COMPONENT)
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def scale(self, component: str, replicas: int) -> None:
        """Scales a component. Returns when exactly `replicas` pods are ready."""
        name = f"deployment/{RELEASE}-{component}"
        self.kubectl("scale", name, f"--replicas={replicas}")
        self.kubectl("rollout", "status", name, "--timeout", f"{_START_SECONDS}s")
        wait_until(lambda: len(self.pods(component)) == replicas, seconds=120, what=f"{replicas} of {component}")

    def wait_for_rollouts(self) -> None:
        """Waits until every Deployment and StatefulSet is ready."""
        for kind in ("deployment", "statefulset"):
            for item in self.objects(kind):
                self.kubectl(
                    "rollout", "status", f"{kind}/{item['metadata']['name']}", "--timeout", f"{_START_SECONDS}s"
                )

    @contextmanager
    def run_load_test(self, script: Path, *, key: str) -> Iterator[dict[str, Any]]:
        """Runs clients in a pod during the `with` block. Afterwards the dictionary has their counts."""
        counts: dict[str, Any] = {}
        container = self.objects("deployment", f"{_COMPONENT}=accounts")[0]["spec"]["template"]["spec"]["containers"][0]
        pod = _load_pod(container["image"], container["imagePullPolicy"], script.read_text(), key)
        self.kubectl("delete", "pod", "load", "--ignore-not-found", "--wait")
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        self.kubectl("wait", "--for=condition=Ready", "pod/load", "--timeout", "180s")
        try:
            yield counts
        finally:
            self.kubectl("exec", "load", "--", "touch", "/tmp/stop")
            self.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/load", "--timeout", "180s")
            counts.update(json.loads(self.kubectl("logs", "load").splitlines()[-1]))
            self.kubectl("delete", "pod", "load", "--wait")


def _load_pod(image: str, policy: str, script: str, key: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "load"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "load",
                    "image": image,
                    "imagePullPolicy": policy,
                    "command": ["python", "-c", script],
                    "env": [
                        {"name": "GATEWAY", "value": f"http://{RELEASE}-gateway"},
                        {"name": "API_KEY", "value": key},
                    ],
                    "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1},
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }

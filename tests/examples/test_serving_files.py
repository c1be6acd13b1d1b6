"""The files that deploy the own server: valid, and about the server as it is."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from lam_engines.serving.http.apis import HEALTH
from lam_export.cli import serve

FOLDER = Path(__file__).parents[2] / "examples" / "serving"
MANIFESTS: dict[str, dict[str, Any]] = {
    found["kind"]: found for found in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
}


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_kubernetes_takes_the_manifests(version: str) -> None:
    assert set(MANIFESTS) == {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "Ingress"}
    for manifest in MANIFESTS.values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_pod_is_the_server() -> None:
    pod = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in HEALTH
    parameters = inspect.signature(serve.run).parameters
    options = {word: container["args"][i + 1] for i, word in enumerate(container["args"]) if word.startswith("--")}
    assert {name.removeprefix("--").replace("-", "_") for name in options} <= set(parameters)
    spent = float(options["--drain-delay"]) + parameters["stop_timeout"].default
    assert spent < pod["terminationGracePeriodSeconds"]
    assert container["ports"][0]["containerPort"] == parameters["port"].default
    safe = pod["securityContext"] | container["securityContext"]
    assert (safe["runAsNonRoot"], safe["readOnlyRootFilesystem"], safe["allowPrivilegeEscalation"]) == (
        True,
        True,
        False,
    )
    assert ":" in container["image"]
    assert not container["image"].endswith(":latest")


def test_the_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint, "it comes with the dev extra"
    result = subprocess.run([hadolint, str(FOLDER / "Dockerfile")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert all(":" in line and "latest" not in line for line in lines if line.startswith("FROM"))
    root = FOLDER.parents[1]
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((root / name).exists() for name in line.split()[1:-1]), line


def test_the_compose_file_is_the_server() -> None:
    written = (FOLDER / "docker-compose.yaml").read_text()
    PyCompose.from_yaml(written)
    content = yaml.safe_load(written)
    (service,) = content["services"].values()
    build = service["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == FOLDER / "Dockerfile"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    parameters = inspect.signature(serve.run).parameters
    assert service["ports"] == [f"127.0.0.1:{parameters['port'].default}:{parameters['port'].default}"]
    spent = parameters["drain_delay"].default + parameters["stop_timeout"].default
    assert spent < int(service["stop_grace_period"].removesuffix("s"))

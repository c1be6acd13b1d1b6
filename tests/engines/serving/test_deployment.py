"""Dockerfile, Compose file and Kubernetes manifests, checked by the tools that read them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from dockerfiles import lint
from plan_bundle import bundle_with
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from lam_engines.errors import LamError
from lam_engines.serving.deployment import FILES, Deployment, write_deployment
from lam_engines.serving.deployment.images import DEFAULT, IMAGES, has_safe_http, image_for
from lam_engines.serving.triton import ServingOptions
from lam_engines.serving.triton.flavours import resolve

KUBERNETES = ("1.29", "1.33", "1.37")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    models = tmp_path / "deploy" / "models"
    for name, size in (("lam_tokenizer", 1000), ("lam_core", 100 << 20), ("lam_embed", 0)):
        (models / name / "1").mkdir(parents=True)
        with (models / name / "1" / "model").open("wb") as file:
            file.truncate(size)
    return Deployment(
        repository=models,
        name="My_Bundle v2",
        model="lam_embed",
        max_batch=64,
        packages=("tokenizers", "numpy"),
        arguments=("--exit-timeout-secs=30",),
        gpu=True,
    )


@pytest.fixture
def folder(deployment: Deployment) -> Path:
    write_deployment(deployment.repository.parent, deployment)
    return deployment.repository.parent


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    return {found["kind"]: found for found in yaml.safe_load_all((folder / "kubernetes.yaml").read_text())}


def test_all_files_are_there_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*FILES, "models"}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("gpu", [True, False])
def test_kubernetes_takes_every_manifest(deployment: Deployment, version: str, gpu: bool) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, gpu=gpu))
    found = manifests(folder)
    kinds = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Ingress"}
    assert set(found) == kinds
    for manifest in found.values():
        kubernetes_validate.validate(manifest, version, strict=True)
    container = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) is gpu


def test_the_validator_would_see_a_mistake(folder: Path) -> None:
    deployment = manifests(folder)["Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES[0], strict=True)


def test_manifests_fit_together(folder: Path) -> None:
    channel = grpc.insecure_channel("127.0.0.1:9")
    found = manifests(folder)
    pod = found["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service, scaler = found["Service"]["spec"], found["HorizontalPodAutoscaler"]["spec"]
    assert {port["port"]: ports[port["targetPort"]] for port in service["ports"]} == {
        8000: 8000,
        8001: 8001,
        8002: 8002,
    }
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert found["Deployment"]["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    assert scaler["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    for about in (found["PodDisruptionBudget"]["spec"]["selector"], found["NetworkPolicy"]["spec"]["podSelector"]):
        assert about["matchLabels"].items() <= pod["metadata"]["labels"].items()
    opened = {port["port"] for rule in found["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert opened == set(ports)
    for path in found["Ingress"]["spec"]["rules"][0]["http"]["paths"]:
        assert path["backend"]["service"] == {"name": found["Service"]["metadata"]["name"], "port": {"name": "grpc"}}
        assert hasattr(GRPCInferenceServiceStub(channel), path["path"].rpartition("/")[2])
    metric = scaler["metrics"][0]["pods"]["metric"]
    (rule,) = yaml.safe_load((folder / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(metric["name"] + "{")
    assert scaler["metrics"][0]["pods"]["target"]["averageValue"] == "64"
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    # Three times 100 MiB, and 2 GiB.
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] == "2349Mi"


def test_every_probe_is_a_real_inference_with_time_for_it(folder: Path) -> None:
    (container,) = manifests(folder)["Deployment"]["spec"]["template"]["spec"]["containers"]
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[kind]
        assert probe["exec"]["command"] == ["python3", "/opt/lam/probe.py", "--model", "lam_embed"]
        assert probe["timeoutSeconds"] > 8.0, "probe.py's own"
    out_of_service = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    restarted = container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"]
    assert out_of_service < restarted


def test_kserve_runs_the_same_pod(folder: Path) -> None:
    service = yaml.safe_load((folder / "kserve.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    # A predictor is a pod's spec and a few fields of KServe's own.
    spec = {name: value for name, value in predictor.items() if name not in ("minReplicas", "maxReplicas")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES[0], strict=True)
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container", "the name that KServe looks for"
    assert [port["containerPort"] for port in container["ports"]] == [8000], "it takes one"
    (of_deployment,) = manifests(folder)["Deployment"]["spec"]["template"]["spec"]["containers"]
    same = ("image", "resources", "startupProbe", "readinessProbe", "livenessProbe", "securityContext", "volumeMounts")
    assert {name: container[name] for name in same} == {name: of_deployment[name] for name in same}


@pytest.mark.parametrize("gpu", [True, False])
def test_compose(deployment: Deployment, gpu: bool) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, gpu=gpu))
    compose = PyCompose.from_yaml((folder / "docker-compose.yaml").read_text()).to_dict()
    (service,) = compose["services"].values()
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])
    assert ("deploy" in service) is gpu
    with pytest.raises(ValueError, match="shm_sizes"):
        PyCompose.from_yaml((folder / "docker-compose.yaml").read_text().replace("shm_size", "shm_sizes"))


@pytest.mark.parametrize("tensorrt", [None, "10.9.0.34"])
def test_dockerfile(deployment: Deployment, tensorrt: str | None) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, tensorrt=tensorrt))
    linted = lint(folder / "Dockerfile")
    assert linted.returncode == 0, linted.stdout
    lines = (folder / "Dockerfile").read_text().splitlines()
    assert f"FROM {image_for(tensorrt).name}" in lines
    assert 'COPY --chown=1000:1000 ["models", "/models"]' in lines
    assert lines[-1].startswith('CMD ["tritonserver", "--model-repository=/models", "--exit-timeout-secs=30"')
    copied = {line.split('"')[1] for line in lines if line.startswith("COPY")}
    ignored = (folder / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}
    assert all((folder / name).exists() for name in copied)
    assert any("libnvinfer.so.10.9.0*" in line for line in lines) is (tensorrt is not None)
    (folder / "Dockerfile").write_text("\n".join(lines).replace("FROM", "FORM"))
    assert lint(folder / "Dockerfile").returncode != 0


@pytest.mark.parametrize("packages", [("tokenizers", "numpy"), ("tokenizers", "numpy", "onnxruntime")])
def test_packages_are_pinned_by_their_hashes(deployment: Deployment, packages: tuple[str, ...]) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, packages=packages))
    lines = (folder / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    assert {line.partition("==")[0] for line in lines} == set(packages)
    assert all(
        re.fullmatch(r"[a-z]+==[\d.]+(; python_version .*?)?( +--hash=sha256:[0-9a-f]{64})+", line) for line in lines
    )


def test_the_image_has_the_plans_tensorrt() -> None:
    assert image_for(None) is DEFAULT
    for image in IMAGES:
        assert image_for(f"{image.tensorrt}.34") is image
    with pytest.raises(LamError, match=r"10\.9\.0 \(25\.03-py3\).*found 10\.16\.1\.11.*--image") as caught:
        image_for("10.16.1.11")
    assert "\n" not in str(caught.value)


def test_an_image_of_the_users(deployment: Deployment) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, tensorrt="10.16.1.11", image="registry.example/triton:26.04"))
    assert "FROM registry.example/triton:26.04\n" in (folder / "Dockerfile").read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("My_Bundle v2", "lam-my-bundle-v2"),
        ("lam", "lam"),
        ("東", "lam"),
        ("null", "lam-null"),
        ("a" * 80, "lam-" + 46 * "a"),
    ],
)
def test_names_are_kubernetes_names(deployment: Deployment, name: str, expected: str) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, name=name))
    assert {found["metadata"]["name"] for found in manifests(folder).values()} == {expected}


def test_a_repository_elsewhere_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    with pytest.raises(LamError, match=r"expected the repository inside .*--deploy"):
        write_deployment(tmp_path / "other", deployment)
    with pytest.raises(LamError, match="expected the repository inside"):
        write_deployment(deployment.repository, deployment)
    assert not (tmp_path / "other").exists()


def test_files_that_are_there_stay_unless_forced(deployment: Deployment, folder: Path) -> None:
    (folder / "Dockerfile").write_text("mine")
    with pytest.raises(LamError, match=r"Dockerfile, .* would be replaced; allow it with --force"):
        write_deployment(folder, deployment)
    assert (folder / "Dockerfile").read_text() == "mine"
    write_deployment(folder, deployment, force=True)
    assert (folder / "Dockerfile").read_text() != "mine"


def test_what_a_repository_needs(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {"version": "10.9.0.34"})
    python = Deployment.of(bundle, resolve(bundle, ServingOptions()), tmp_path / "models")
    assert (python.packages, python.gpu, python.tensorrt) == (("numpy", "tokenizers", "onnxruntime"), False, None)
    (seconds,) = [int(a.partition("=")[2]) for a in python.arguments if a.startswith("--exit-timeout-secs=")]
    for option in ("--http-restricted-api", "--grpc-restricted-protocol"):
        (shut,) = [a.partition("=")[2] for a in python.arguments if a.startswith(option)]
        assert re.fullmatch(r"shared-memory,logging,trace,model-repository:admin-key=\w{32}", shut)
    assert seconds + 5 < 60, "after the pause before it is told to stop, and before it is killed"
    assert (python.name, python.model) == ("a bundle", "lam_embed")
    tensorrt = resolve(bundle, ServingOptions(flavour="tensorrt", max_batch=16))
    deployment = Deployment.of(bundle, tensorrt, tmp_path / "models")
    assert (deployment.packages, deployment.gpu, deployment.tensorrt) == (("numpy", "tokenizers"), True, "10.9.0.34")
    assert deployment.max_batch == 16
    onnxruntime = resolve(bundle, ServingOptions(flavour="onnxruntime", device="cuda"))
    assert Deployment.of(bundle, onnxruntime, tmp_path / "models", "mine").image == "mine"
    assert Deployment.of(bundle, onnxruntime, tmp_path / "models").gpu


def test_the_http_port_of_old_images_is_shut(deployment: Deployment) -> None:
    folder = deployment.repository.parent
    write_deployment(folder, replace(deployment, tensorrt="10.9.0.34"))
    found = manifests(folder)
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {port["containerPort"] for port in container["ports"]} == {8001, 8002}
    assert {port["port"] for port in found["Service"]["spec"]["ports"]} == {8001, 8002}
    assert "--http-address=127.0.0.1" in (folder / "Dockerfile").read_text().splitlines()[-1]
    assert "EXPOSE 8001 8002" in (folder / "Dockerfile").read_text()
    assert "8000" not in (folder / "docker-compose.yaml").read_text()
    service = yaml.safe_load((folder / "kserve.yaml").read_text())
    assert service["spec"]["predictor"]["containers"][0]["ports"] == [{"name": "h2c", "containerPort": 8001}]
    for manifest in found.values():
        kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
    assert lint(folder / "Dockerfile").returncode == 0
    for image, safe in {
        DEFAULT.name: True,
        "a:25.06-py3": False,
        "a:24.10": False,
        "a:1": True,
        "a@sha256:25": True,
    }.items():
        assert has_safe_http(image) is safe

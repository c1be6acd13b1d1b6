"""KubeRay's manifests: read by Kubernetes' schemas where they are Kubernetes' own, and by Ray's autoscaler."""

import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from commands import lam_export, refusal
from dockerfiles import lint

EMBED = ("--", "s3://models/my-model", "--input", "s3://in/reviews", "-o", "s3://out/vectors", "--id-column", "my id")


def written(folder: Path, *options: object) -> dict[str, Any]:
    result = lam_export("ray-job", "--to", folder, *options, *EMBED)
    assert result.returncode == 0, result.stderr
    return {name: yaml.safe_load((folder / name).read_text()) for name in ("rayjob.yaml", "raycluster.yaml")}


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


@pytest.mark.parametrize("gpu", [False, True])
def test_kubernetes_takes_the_pods(tmp_path: Path, gpu: bool) -> None:
    found = written(tmp_path, "--workers", "4..64", *(("--gpus-per-worker", 0.5) if gpu else ()))
    spec = found["raycluster.yaml"]["spec"]
    assert found["rayjob.yaml"]["spec"]["rayClusterSpec"] == spec
    for template in pods(spec):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
        kubernetes_validate.validate(pod, "1.33", strict=True)
    (workers,) = spec["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == ((2, 32) if gpu else (1, 16))
    run = found["rayjob.yaml"]["spec"]["entrypoint"]
    assert run.startswith("lam-export embed s3://models/my-model --input s3://in/reviews -o s3://out/vectors")
    assert "--id-column 'my id' --ray --address auto --workers 4..64" in run
    assert ("--device cuda --gpus-per-worker 0.5" in run) is gpu


@pytest.mark.needs("ray")
@pytest.mark.parametrize("gpu", [False, True])
def test_rays_autoscaler_reads_the_cluster(tmp_path: Path, gpu: bool) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import validate_config

    cluster = written(tmp_path, *(("--gpus-per-worker", 1) if gpu else ()))["raycluster.yaml"]
    cluster["metadata"]["namespace"] = "default"
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    validate_config(config)
    workers = config["available_node_types"]["workers"]
    assert workers["resources"]["CPU"] == 4
    assert workers["resources"].get("GPU", 0) == int(gpu)
    assert workers["min_workers"] == (4 if gpu else 1)
    assert config["available_node_types"][config["head_node_type"]]["resources"]["CPU"] == 0


def test_the_image(tmp_path: Path) -> None:
    written(tmp_path)
    result = lint(tmp_path / "Dockerfile")
    assert result.returncode == 0, result.stdout
    assert "[ray,cpu,s3]" in (tmp_path / "Dockerfile").read_text()


def test_what_is_refused(tmp_path: Path) -> None:
    assert "without those about Ray, found --address" in refusal(
        "ray-job", "--to", tmp_path, *EMBED, "--address", "auto"
    )
    assert "No such option" in refusal("ray-job", "--to", tmp_path, *EMBED, "--nonsense")
    assert "expected --workers NUMBER or LOW..HIGH" in refusal("ray-job", "--to", tmp_path, "--workers", "9..2", *EMBED)
    written(tmp_path)
    assert "would be replaced; allow it with --force" in refusal("ray-job", "--to", tmp_path, *EMBED)
    shutil.rmtree(tmp_path)

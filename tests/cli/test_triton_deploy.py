"""``lam-export triton --deploy``: a repository, and beside it what runs it elsewhere."""

from pathlib import Path

from commands import lam_export, refusal

from lam_engines.serving.deployment import FILES


def test_repository_and_files(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    result = lam_export("triton", tiny_bundle, "-o", folder / "models", "--deploy", folder, "--image", "mine:1")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in folder.iterdir()} == {*FILES, "models"}
    assert "FROM mine:1\n" in (folder / "Dockerfile").read_text()
    assert "docker compose up" in result.stdout
    before = (folder / "models" / "repository.json").stat().st_mtime_ns
    line = refusal("triton", tiny_bundle, "-o", folder / "more", "--deploy", folder)
    assert "would be replaced; allow it with --force" in line
    assert not (folder / "more").exists(), "refused before anything was written"
    result = lam_export("triton", tiny_bundle, "-o", folder / "models", "--deploy", folder, "--force")
    assert result.returncode == 0, result.stderr
    assert (folder / "models" / "repository.json").stat().st_mtime_ns > before


def test_a_repository_elsewhere(tiny_bundle: Path, tmp_path: Path) -> None:
    line = refusal("triton", tiny_bundle, "-o", tmp_path / "models", "--deploy", tmp_path / "deploy")
    assert "expected the repository inside" in line
    assert list(tmp_path.iterdir()) == []

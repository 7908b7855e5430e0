"""The direction of imports, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ONE_DOOR = {
    "deepspeed": {"src/momalisa/training/engine.py"},
    "gcsfs": {"src/momalisa/storage/gcs_http.py"},
    "ray.train": {"src/momalisa/training/ray_trainer.py"},
    "ray.serve": {
        f"src/momalisa/service/on_ray/{name}.py" for name in ("application", "handles", "replicas", "scaling")
    },
    "kubernetes": {"src/momalisa/cluster/client.py"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importers(library: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(name == library or name.startswith(f"{library}.") for name in imported(path))
    }


@pytest.mark.parametrize("library", ONE_DOOR)
def test_a_heavy_library_enters_through_one_module(library: str) -> None:
    assert importers(library) <= ONE_DOOR[library]


def test_the_package_imports_none_of_its_callers() -> None:
    for caller in ("jobs", "serve", "tests"):
        assert not importers(caller)


def test_only_batch_jobs_and_the_service_on_it_know_ray() -> None:
    assert importers("ray") - ONE_DOOR["ray.serve"] <= {
        "src/momalisa/ray_session.py",
        "src/momalisa/training/ray_trainer.py",
        "src/momalisa/artworks/prepare.py",
        "src/momalisa/batch/walks.py",
    }


@pytest.mark.parametrize(
    "module",
    [
        "momalisa",
        "momalisa.storage",
        "momalisa.training.config",
        "momalisa.recipes",
        "momalisa.cli",
        "momalisa.release.command",
        "momalisa.client",
        "momalisa.service.on_ray.application",
    ],
)
def test_importing_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_jobs_are_thin() -> None:
    for job in (ROOT / "jobs").glob("*.py"):
        assert len(job.read_text().splitlines()) <= 85, job

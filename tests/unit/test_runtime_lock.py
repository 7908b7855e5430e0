import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = """\
pytest==9.0.1 \\
    --hash=sha256:aa
    # via momalisa (pyproject.toml)
pluggy==1.6.0 \\
    --hash=sha256:bb
    # via pytest
Ray[serve]==2.60.0 ; sys_platform == 'linux' \\
    --hash=sha256:cc
    # via
    #   momalisa (pyproject.toml)
    #   some-tool
typing_extensions==4.16 \\
    --hash=sha256:dd
    # via
    #   pytest
    #   starlette
starlette==1.10.0 \\
    --hash=sha256:ee
    # via ray
wandb==0.31 \\
    --hash=sha256:ff
    # via momalisa (pyproject.toml)
"""
PYPROJECT = """\
[build-system]
requires = []
[project]
dependencies = ["ray[serve,train]>=2.60"]
[project.optional-dependencies]
dev = ["pytest>=9"]
tracking = ["wandb>=0.31"]
"""


@pytest.fixture(scope="module")
def runtime_lock():
    return runpy.run_path(str(ROOT / "k8s" / "runtime_lock.py"))["runtime_lock"]


def names(lock: str) -> list[str]:
    return [line.partition("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")]


def test_keeps_what_runs_and_what_that_needs(runtime_lock):
    assert names(runtime_lock(PYPROJECT, LOCK, [])) == ["Ray[serve]", "typing_extensions", "starlette"]


def test_keeps_named_extras(runtime_lock):
    assert "wandb" in names(runtime_lock(PYPROJECT, LOCK, ["tracking"]))


def test_keeps_hashes_and_markers(runtime_lock):
    kept = runtime_lock(PYPROJECT, LOCK, [])
    assert "Ray[serve]==2.60.0 ; sys_platform == 'linux' \\\n    --hash=sha256:cc\n" in kept


def test_project_s_own_lock_is_held_apart_from_its_tools(runtime_lock):
    pyproject, lock = ((ROOT / name).read_text() for name in ("pyproject.toml", "requirements.lock"))
    kept = set(names(runtime_lock(pyproject, lock, ["tracking", "traces"])))
    assert {"torch", "ray", "deepspeed", "gcsfs", "kubernetes", "wandb", "setuptools"} <= kept
    assert not {"pytest", "mypy", "ruff", "playwright", "schemathesis", "datasets"} & kept

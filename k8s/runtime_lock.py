"""python k8s/runtime_lock.py pyproject.toml requirements.lock [EXTRA ...] > runtime.lock

The part of the lock that momalisa needs to run, without the tools of its developers: one lock stays the only truth of
versions and hashes. Follows the `# via` notes that uv leaves below each package up to pyproject's own dependencies.
"""

import re
import sys
import tomllib
from pathlib import Path

_PACKAGE = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==")
_PARENT = re.compile(r"\s+#\s+(?:via\s+)?([A-Za-z0-9._-]+)")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def runtime_lock(pyproject: str, lock: str, extras: list[str]) -> str:
    """The blocks of `lock` that are dependencies of momalisa, of its named extras, or of what builds it."""
    project = tomllib.loads(pyproject)
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    blocks = _blocks(lock)
    kept = {_normal(match[0]) for match in map(_NAME.match, wanted) if match} & blocks.keys()
    parents = {name: _parents(block) for name, block in blocks.items()}
    while more := {name for name in blocks.keys() - kept if parents[name] & kept}:
        kept |= more
    return "".join(block for name, block in blocks.items() if name in kept)


def _blocks(lock: str) -> dict[str, str]:
    """Each package's lines: its pin, its hashes and who wants it."""
    blocks: dict[str, str] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if match := _PACKAGE.match(line):
            name = _normal(match[1])
        if name:
            blocks[name] = blocks.get(name, "") + line
    return blocks


def _parents(block: str) -> set[str]:
    return {_normal(match[1]) for match in map(_PARENT.match, block.splitlines()) if match} - {"via"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    pyproject_path, lock_path, *names = sys.argv[1:]
    sys.stdout.write(runtime_lock(Path(pyproject_path).read_text(), Path(lock_path).read_text(), names))

"""`manifest.json` of an exported model: its files' hashes, so that a copy can be told from what was judged."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from momalisa.storage import sha256_bytes, sha256_file

MANIFEST_FILE = "manifest.json"


class ExportedFile(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_bytes: int
    sha256: str


class ExportManifest(BaseModel):
    """All files of an export but this one, by key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    files: dict[str, ExportedFile]

    @classmethod
    def of(cls, folder: Path) -> "ExportManifest":
        """Of a folder on disk."""
        paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        return cls(
            files={
                key: ExportedFile(num_bytes=path.stat().st_size, sha256=sha256_file(path))
                for key, path in paths.items()
                if key != MANIFEST_FILE
            }
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the whole: equal for equal files."""
        content = {key: file.sha256 for key, file in self.files.items()}
        return sha256_bytes(json.dumps(content, sort_keys=True).encode())

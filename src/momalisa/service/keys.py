"""API keys, from a file that is mounted and may change at any time.

One key a line, as JSON: `{"name": "kiosk-3", "sha256": "…", "is_staff": false, "not_after": "2027-01-31T00:00:00Z"}`;
the last two may be left out. A name may have two keys at once, so that a new one is in use before the old one goes.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from momalisa.errors import ConfigError
from momalisa.service.watched import Watched, lines_of

NAME_PATTERN = r"^[a-z0-9]+([.-][a-z0-9]+)*$"
_KEYS_A_NAME = 2
_WHAT = "the API keys"


class Key(BaseModel):
    """A key as the file has it: what it is called and the hash by which it is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME_PATTERN, max_length=60)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    is_staff: bool = False
    not_after: AwareDatetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether its time is not over."""
        return self.not_after is None or now < self.not_after


def hash_key(key: str) -> str:
    """The hash that the file keeps of a key.

    A plain SHA-256: keys are long and random (`python -c "import secrets; print(secrets.token_urlsafe(32))"`), so
    that there is nothing to guess which a slow hash or a salt would protect.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyRing:
    """The keys of a file, read anew when it changes.

    A key is found by its hash: how long the look-up takes tells of the hash, from which no key can be worked out.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises ConfigError for a file that cannot be read: a service without its keys does not start."""
        self._now = now
        self._keys = Watched(path, lambda path: _read(path, now()), what=_WHAT, clock=clock)

    def find(self, key: str) -> Key | None:
        """Whose key this is; None for one that is unknown or whose time is over."""
        found = self._keys.value.get(hash_key(key))
        return found if found is not None and found.is_valid(self._now()) else None


def _read(path: Path, now: datetime) -> dict[str, Key]:
    lines = lines_of(path, what=_WHAT)
    keys = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    for name, count in Counter(key.name for key in keys if key.is_valid(now)).items():
        if count > _KEYS_A_NAME:
            raise ConfigError(f"{path}: {name} has {count} keys at once: keep the newest {_KEYS_A_NAME}")
    by_hash = {key.sha256: key for key in keys}
    if len(by_hash) < len(keys):
        raise ConfigError(f"{path}: a key is there twice: remove one of its lines")
    return by_hash


def _parse(line: str, where: str) -> Key:
    try:
        return Key.model_validate_json(line)
    except ValidationError as e:
        # Not the input: a line may hold a key that somebody forgot to hash.
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in e.errors(include_input=False))
        raise ConfigError(f"{where}: {problems}") from e

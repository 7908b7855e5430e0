"""The configuration that holds, and the one that was refused since: for a conductor which begins anew meanwhile."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from momalisa.errors import ObjectNotFoundError, StorageError
from momalisa.storage import Store

_LOGGER = logging.getLogger(__name__)


class LastGood:
    """Of one release: the next one must be good by itself."""

    def __init__(self, store: Store, release: str) -> None:
        self._store, name = store, f"configurations/{release or 'only'}"
        self._good, self._refused = f"{name}.json", f"{name}-refused.json"

    async def keep(self, user_config: Mapping[str, Any]) -> None:
        """This one holds. Where the bucket is away the one before it is kept."""
        await self._write(self._good, user_config)

    async def note_refused(self, user_config: Mapping[str, Any]) -> None:
        """This one does not."""
        await self._write(self._refused, user_config)

    async def find(self) -> dict[str, Any] | None:
        """The one that holds; None where none was kept. Raises StorageError."""
        return await self._read(self._good)

    async def instead_of(self, user_config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The one that holds, where this one was refused. Raises StorageError."""
        return await self.find() if await self._read(self._refused) == user_config else None

    async def _write(self, key: str, user_config: Mapping[str, Any]) -> None:
        data = json.dumps(user_config, sort_keys=True).encode()
        try:
            await asyncio.to_thread(self._store.write_bytes, key, data)
        except StorageError as e:
            _LOGGER.warning("%s cannot be kept in the bucket: %s", key, e)

    async def _read(self, key: str) -> dict[str, Any] | None:
        try:
            return dict(json.loads(await asyncio.to_thread(self._store.read_bytes, key)))
        except ObjectNotFoundError:
            return None

"""The configuration that holds, kept for a conductor which begins anew while a later one is tried, or was refused."""

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
        self._store, self._key = store, f"configurations/{release or 'only'}.json"
        self.is_of_a_named_release = bool(release)

    async def keep(self, user_config: Mapping[str, Any]) -> None:
        """This one holds. Where the bucket is away the one before it is kept."""
        data = json.dumps(user_config, sort_keys=True).encode()
        try:
            await asyncio.to_thread(self._store.write_bytes, self._key, data)
        except StorageError as e:
            _LOGGER.warning("the configuration that holds cannot be kept in the bucket: %s", e)

    async def find(self) -> dict[str, Any] | None:
        """The one that was kept; None where there is none. Raises StorageError."""
        try:
            return dict(json.loads(await asyncio.to_thread(self._store.read_bytes, self._key)))
        except ObjectNotFoundError:
            return None

"""One request to Cloud Storage's JSON API through gcsfs. The only module that imports gcsfs.

gcsfs gives credentials, their renewal, the session and the URLs. Its own retries (six per request, with waits of up to
32 s) are left out, or they would multiply with ours; so are its mapping of statuses, which drops what the server said,
and its hierarchical-namespace subclass, which probes a second API over gRPC with the first request.
"""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import google.auth.exceptions
from fsspec.asyn import sync
from gcsfs.core import GCSFileSystem

from momalisa.storage.key_file import KeyFile
from momalisa.storage.retry import RetryPolicy, TransientError

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered, whatever its status. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class GcsHttp(GCSFileSystem):  # type: ignore[misc]
    """gcsfs without retries of its own: `request` is one attempt."""

    key_file: KeyFile | None = None
    """Read anew when it is another one: a process that runs for months outlives its keys."""

    @property
    def is_anonymous(self) -> bool:
        """Whether no credentials were found."""
        return self.credentials.credentials is None

    def request(self, method: str, path: str, *args: str, **kwargs: Any) -> Answer:
        """Send one request and read the whole answer.

        path: below `/storage/v1/`, with `{}` for each of `args` (quoted here), or a whole URL.
        kwargs: `headers`, `json`, `data`; the rest are query parameters (None is left out).
        Raises TransientError for everything that may pass before there is an answer.
        """
        if self.key_file is not None and self.key_file.was_exchanged():
            self._take_new_key()
        try:
            answer: Answer = sync(self.loop, self._request_once, method, path, *args, **kwargs)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as e:
            raise TransientError(f"{type(e).__name__}: {e}") from e
        except (TimeoutError, ConnectionError) as e:
            raise TransientError(f"no answer in time, or the connection broke ({type(e).__name__})") from e
        except google.auth.exceptions.TransportError as e:
            raise TransientError(f"the credentials could not be renewed: {e}") from e
        return answer

    def _take_new_key(self) -> None:
        self.credentials.project = None  # the new key may be of another one
        try:
            self.credentials.connect("google_default")
        except (google.auth.exceptions.GoogleAuthError, ValueError) as e:
            _LOGGER.error("the credentials stay as they were: the new key file cannot be used: %s", e)
        else:
            _LOGGER.info("the key file was read again")

    async def _request_once(
        self,
        method: str,
        path: str,
        *args: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | None = None,
        **params: Any,
    ) -> Answer:
        session = await self._set_session()
        async with session.request(
            method,
            self._format_path(path, args),
            params=self._get_params(params),
            headers=self._get_headers(headers),
            json=json,
            data=io.BytesIO(data) if data else None,  # sent in pieces, so that other requests keep moving
            timeout=self.requests_timeout,
            allow_redirects=False,  # 308 means "go on" in a resumable upload
        ) as response:
            body = await response.read()
            names = {name.lower() for name in response.headers}
            return Answer(response.status, {n: ",".join(response.headers.getall(n)) for n in names}, body)


def connect(endpoint: str | None, retry: RetryPolicy) -> GcsHttp:
    """A client for an emulator's endpoint (without credentials), or for Google's with the usual credentials.

    The usual credentials are those that Google's libraries find (Application Default Credentials); where there are
    none, requests are anonymous, which suffices for public buckets.
    """
    timeout = aiohttp.ClientTimeout(
        total=retry.attempt_timeout_s, sock_connect=retry.stall_timeout_s, sock_read=retry.stall_timeout_s
    )
    http = GcsHttp(
        endpoint_url=endpoint,
        token="anon" if endpoint else None,
        requests_timeout=timeout,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    http.key_file = None if endpoint else KeyFile.of()
    return http

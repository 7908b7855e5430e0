"""The resumable protocol against a server of a few lines that loses answers on demand."""

import json
import re
from dataclasses import dataclass, field

import pytest

from momalisa.errors import ObjectNotFoundError, UnavailableError
from momalisa.storage import gcs_upload
from momalisa.storage.gcs_http import Answer
from momalisa.storage.gcs_upload import ResumableUpload, UploadLostError
from momalisa.storage.hashing import crc32c_bytes
from momalisa.storage.retry import RetryPolicy, TransientError

CHUNK_BYTES = 1 << 10
DATA = bytes(range(256)) * (5 * CHUNK_BYTES // 512)  # two and a half chunks


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_upload, "CHUNK_BYTES", CHUNK_BYTES)


@dataclass
class Server:
    """Keeps one upload. lose: numbers of the requests whose answers are lost after they took effect.

    refuse: numbers of those that never arrive. keep_bytes: how much of each chunk it takes at most.
    """

    lose: set[int] = field(default_factory=set)
    refuse: set[int] = field(default_factory=set)
    keep_bytes: int = CHUNK_BYTES
    stored: bytearray = field(default_factory=bytearray)
    requests: list[str] = field(default_factory=list)

    def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        number = len(self.requests)
        self.requests.append(headers["Content-Range"])
        if number in self.refuse:
            raise TransientError("status 503")
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)", headers["Content-Range"])
        assert match is not None
        if match[1] is not None:
            assert int(match[1]) == len(self.stored)
            assert int(match[2]) - int(match[1]) + 1 == len(body)
            self.stored += body[: self.keep_bytes]
        if number in self.lose:
            raise TransientError("connection reset")
        return self._answer(int(match[3]))

    def _answer(self, total: int) -> Answer:
        if len(self.stored) < total:
            return Answer(308, {"range": f"bytes=0-{len(self.stored) - 1}"} if self.stored else {}, b"")
        resource = {"crc32c": crc32c_bytes(bytes(self.stored)), "size": str(len(self.stored))}
        return Answer(200, {}, json.dumps(resource).encode())


def upload(server: Server, crc32c: str = crc32c_bytes(DATA), **changes: int) -> ResumableUpload:
    return ResumableUpload(
        session_url="http://server/session",
        send=server.send,
        read_chunk=lambda start, stop: DATA[start:stop],
        num_bytes=len(DATA),
        crc32c=crc32c,
        retry=RetryPolicy(sleep=lambda _: None, **changes),  # type: ignore[arg-type]
        doing="writing gs://bucket/key",
    )


@pytest.mark.parametrize("lose", [set(), {0}, {1}, {2}, {0, 1, 2, 4, 5}])
@pytest.mark.parametrize("refuse", [set(), {0}, {3}, {1, 3, 6}])
@pytest.mark.parametrize("keep_bytes", [CHUNK_BYTES, CHUNK_BYTES // 2])
def test_every_byte_arrives_once(lose: set[int], refuse: set[int], keep_bytes: int) -> None:
    server = Server(lose=lose, refuse=refuse, keep_bytes=keep_bytes)
    upload(server).run()
    assert bytes(server.stored) == DATA


def test_a_chunk_whose_answer_was_lost_is_not_sent_again() -> None:
    server = Server(lose={1})
    upload(server).run()
    sent = [request for request in server.requests if "*" not in request]
    assert len(sent) == len(set(sent)) == 3
    assert server.requests[2] == f"bytes */{len(DATA)}"


def test_gives_up_where_nothing_moves() -> None:
    server = Server(keep_bytes=0, refuse=set(range(0, 100, 2)))
    with pytest.raises(UnavailableError, match="after 4 attempts"):
        upload(server, max_attempts=4).run()


def test_other_bytes_in_the_bucket_are_noticed() -> None:
    with pytest.raises(UploadLostError, match="other bytes"):
        upload(Server(), crc32c="AAAAAA==").run()


def test_a_forgotten_session_is_noticed() -> None:
    class Forgetful(Server):
        def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
            raise ObjectNotFoundError("404")

    with pytest.raises(UploadLostError, match="forgot"):
        upload(Forgetful()).run()

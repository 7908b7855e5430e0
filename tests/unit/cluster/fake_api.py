"""An API server's answers without a server: what the official client's transport is replaced by."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3
from kubernetes.client import ApiClient, Configuration

from momalisa.cluster.client import Cluster


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Time:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


Answer = Callable[[Asked], "urllib3.HTTPResponse"]


@dataclass
class FakeApi:
    """Answers in turn, the last one again and again; an exception is raised."""

    answers: list[Any]
    asked: list[Asked] = field(default_factory=list)
    configuration: Any = None

    def request(
        self, method: str, url: str, headers: Any = None, body: Any = None, post_params: Any = None, **_: Any
    ) -> Any:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(Asked(method, parts.path, query, body, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(self.asked[-1])
        return _Wrapped(answer)


class _Wrapped:
    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self.response = response


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    """A response with this JSON, or this text; each call makes a new one."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: urllib3.HTTPResponse(io.BytesIO(text), status=status, headers=named, preload_content=False)


def refused(status: int, message: str, **headers: str) -> Answer:
    return answer({"kind": "Status", "status": "Failure", "message": message, "code": status}, status, **headers)


def lines(*events: Any) -> Answer:
    return answer(b"".join(json.dumps(event).encode() + b"\n" for event in events))


def cluster_of(*answers: Any, time: Time | None = None, patience_s: float = 30.0) -> tuple[Cluster, FakeApi]:
    api = ApiClient(Configuration(host="https://cluster.example"))
    api.rest_client = FakeApi(list(answers))
    time = time or Time()
    cluster = Cluster(api, context="lab", namespace="team", patience_s=patience_s, clock=time.clock, sleep=time.sleep)
    return cluster, api.rest_client

"""Whatever is sent to whatever address, byte by byte over a socket: never a 500, always our error form and never plain text."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stillwatch.share.keyholder.server import KeyHolder
from tests.share.hub.conftest import Exchange

ANY = st.text(st.characters(), max_size=20)  # halves of surrogate pairs and null characters too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda x: st.lists(x, max_size=4) | st.dictionaries(ANY, x, max_size=4),
    max_leaves=12,
)
SEGMENT = st.sampled_from(
    ["signals", "none", "campaign--3f567912-629a-5e0b-ab0c-0102977c2d6c", "..", "%", "\x00", "objects", "x" * 300]
) | st.text(max_size=12)
PATHS = st.one_of(
    st.sampled_from([
        "/taxii2/", "/api/", "/api/collections/", "/api/collections/signals/", "/api/collections/signals/objects/", "/api/collections/signals/manifest/",
        "/hub/keys/", "/hub/tokens/", "/hub/tokens/withdraw/", "/hub/answers/", "/hub/metrics/", "/hub/health/", "/log/checkpoint/", "/log/mine/",
    ]),
    st.builds(lambda a, b: f"/api/collections/{quote(a, safe='')}/objects/{quote(b, safe='')}/versions/", SEGMENT, SEGMENT),
    st.builds(lambda a, b: f"/api/collections/{quote(a, safe='')}/objects/{quote(b, safe='')}/", SEGMENT, SEGMENT),
    st.builds(lambda a: f"/api/status/{quote(a, safe='')}/", SEGMENT),
    st.builds(lambda a, b: f"/log/tile/{quote(a, safe='')}/{quote(b, safe='/')}", SEGMENT, SEGMENT),
    st.builds(lambda a: "/" + quote(a, safe="/"), SEGMENT),
)  # fmt: skip
NAMES = st.sampled_from(
    ["limit", "added_after", "next", "match[id]", "match[type]", "match[version]", "match[spec_version]", "after", "witnessed"]
) | st.text(max_size=6)
VALUES = st.sampled_from(
    [
        "all",
        "last,first",
        "0",
        "-1",
        "9" * 30,
        "2026-11-24T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        ",",
        ",,",
        "1" * 16,
    ]
) | st.text(max_size=20)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
        "Content-Type": st.sampled_from(["application/taxii+json;version=2.1", "text/plain", ""]),
    },
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda v: json.dumps(v).encode())
    | JSON.map(lambda v: json.dumps({"objects": [v], "document": v, "signature": "00", "tags": [v]}).encode())
)


def asked(port: int, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
    """(status, content type, body) of one request on a connection of its own; no client library puts anything right on the way."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {len(body)}",
        *(f"{n}: {v}" for n, v in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)
        answer = HTTPResponse(s, method=method)
        answer.begin()
        return answer.status, answer.headers.get("content-type", ""), answer.read()


def examined(method: str, answer: tuple[int, str, bytes], sent: object) -> None:
    status, kind, body = answer
    assert status < 500, (sent, body)
    if status >= 400:
        assert "json" in kind, (sent, kind, body)
        if method != "HEAD":
            told = json.loads(body)
            assert told["title"]
            assert told.get("http_status", str(status)) == str(status)


@pytest.mark.no_cover
@pytest.mark.slow
@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "PATCH", "TRACE", "FETCH", "get"]),
    PATHS,
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    HEADERS,
    BODIES,
    st.sampled_from(["a", "a", "a", "reader", "operator", None]),
)
@example("GET", "/%0A", [], {}, b"", "a")
@example("POST", "/api/collections/signals/objects/", [], {}, rb'{"objects":[{"id":"\ud800"}]}', "a")
@example("POST", "/hub/tokens/withdraw/", [], {}, rb'{"tags":["\ud800\ud800aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}', "a")
@example("POST", "/hub/tokens/", [], {}, b'{"signature":"00","document":{"n":1e999,"m":123456789012345678901234567890}}', "a")
@example("GET", "/\xe9", [], {}, b"", None)
@example("GET", "*", [], {}, b"", None)
def test_the_hub_answers_everything(
    hub_port: tuple[Exchange, int],
    method: str,
    path: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    who: str | None,
) -> None:
    exchange, port = hub_port
    sent = {"Content-Type": "application/taxii+json;version=2.1"} | headers
    if who:
        sent["Authorization"] = f"Bearer {exchange.labs[who].token}"
    words = "&".join(f"{quote(n, safe='[]')}={quote(v, safe='')}" for n, v in query)
    target = f"{path}?{words}" if words else path
    examined(method, asked(port, method, target, sent, body), (method, target, sent, body))


@pytest.mark.no_cover
@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS"]),
    st.one_of(
        st.sampled_from(["/keys/", "/health/", "/keys", "/evaluate/", "/evaluate/email/2026q4/"]),
        st.builds(lambda a, b: f"/evaluate/{quote(a, safe='')}/{quote(b, safe='')}/", SEGMENT, SEGMENT),
        st.builds(lambda a: "/" + quote(a, safe="/"), SEGMENT),
    ),
    BODIES | st.binary(min_size=32, max_size=64),
    st.sampled_from(["member", None]),
)
def test_the_key_holder_answers_everything(holder_port: int, method: str, path: str, body: bytes, who: str | None) -> None:
    sent = {"Authorization": "Bearer t"} if who else {}
    examined(method, asked(holder_port, method, path, sent, body), (method, path, body))


@pytest.fixture
def hub_port(light: Exchange, gated: Callable[..., int]) -> tuple[Exchange, int]:
    return light, gated(light.hub.app())


@pytest.fixture
def holder_port(tmp_path: Path, gated: Callable[..., int]) -> int:
    holder = KeyHolder(tmp_path / "holder")
    holder.enrol("member", "t")
    return gated(holder.app())

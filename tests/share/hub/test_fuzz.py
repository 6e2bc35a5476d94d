"""Whatever is sent to whatever address: never a 500, always our error form."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.share.hub.conftest import Exchange

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(max_size=12), x, max_size=4),
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


@pytest.mark.no_cover
@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS"]),
    PATHS,
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    HEADERS,
    BODIES,
    st.sampled_from(["a", "reader", "operator", None]),
)
@example("GET", "/%0A", [], {}, b"", "a")
def test_never_a_500(
    served_client: Any, method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes, who: str | None
) -> None:
    exchange, t = served_client
    sent = {"Content-Type": "application/taxii+json;version=2.1"} | headers
    if who:
        sent["Authorization"] = f"Bearer {exchange.labs[who].token}"
    words = "&".join(f"{quote(n, safe='[]')}={quote(v, safe='')}" for n, v in query)
    answer = t.request(
        method, f"http://testserver{path}?{words}", headers=sent, content=body if method in ("POST", "PUT", "DELETE") else None
    )
    assert answer.status_code < 500, (method, path, query, body, answer.text)
    if answer.status_code >= 400 and method != "HEAD":
        told = answer.json()
        assert told["title"]
        assert told["http_status"] == str(answer.status_code)


@pytest.fixture
def served_client(light: Exchange) -> Any:
    with light.client() as t:
        yield light, t

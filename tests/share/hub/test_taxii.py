"""TAXII 2.1, line by line of what servers get wrong; numbers are those of the project's checklist."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from stillwatch.share.hub.tables import objects
from stillwatch.share.hub.taxii import MEDIA, micros, time_text
from stillwatch.share.tlog.log import verifier_key
from stillwatch.share.wire import stix as wire
from tests.share.hub.conftest import Exchange, Lab
from tests.share.hub.samples import NOW, answer_release, sealed

OBJECTS = "/api/collections/signals/objects/"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def post(t: TestClient, lab: Lab, objects: list[dict[str, Any]]) -> dict[str, Any]:
    answer = t.post(OBJECTS, headers=lab.headers, content=json.dumps({"objects": objects}))
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert body["success_count"] + body["failure_count"] + body["pending_count"] == body["total_count"] == len(objects)
    return body


def ids(answer: Any) -> list[str]:
    return [o["id"] for o in answer.json().get("objects", [])]


@pytest.mark.parametrize(
    "accept",
    [
        None, "", "application/taxii+json", "application/taxii+json;version=2.1", 'application/taxii+json; version="2.1"', "Application/TAXII+JSON ; Version=2.1",
        "application/taxii+json;q=0.9", "application/stix+json;version=2.1, application/taxii+json;version=2.1", "text/html,*/*;q=0.1", "application/*",
        "application/taxii+json;version=2.0, application/taxii+json;version=2.1", "application/json, text/plain, */*",
    ],
)  # fmt: skip
def test_02_accept(light: Exchange, accept: str | None) -> None:
    with light.client() as t:
        headers = light.labs["a"].headers | ({"Accept": accept} if accept is not None else {})
        answer = t.get("/taxii2/", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)


@pytest.mark.parametrize(
    "accept",
    ["application/taxii+json;version=2.0", "text/html", "application/stix+json", "application/taxii+json;version=2.1;q=0", "garbage"],
)
def test_03_406(light: Exchange, accept: str) -> None:
    with light.client() as t:
        answer = t.get("/api/", headers=light.labs["a"].headers | {"Accept": accept})
        assert answer.status_code == 406
        assert answer.json()["http_status"] == "406"


def test_01_13_errors_have_our_content_type_a_title_and_their_status_as_text(light: Exchange) -> None:
    a = light.labs["a"].headers
    with light.client() as t:
        answers = [
            t.get("/taxii2/"), t.get("/nothing/", headers=a), t.put("/api/", headers=a), t.get("/api/collections/none/", headers=a),
            t.post(OBJECTS, headers=a, content="{"), t.get(OBJECTS + "?limit=0", headers=a),
        ]  # fmt: skip
        assert [x.status_code for x in answers] == [401, 404, 405, 404, 400, 400]
        for x in answers:
            assert x.headers["content-type"] == MEDIA
            assert x.json()["title"]
            assert x.json()["http_status"] == str(x.status_code)
        assert answers[2].headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (MEDIA, 202), ("application/taxii+json", 202), ("application/taxii+json; version=2.1; charset=utf-8", 202), ("application/json", 415),
        ("application/taxii+json;version=2.0", 415), ("", 415), ("application/stix+json;version=2.1", 415),
    ],
)  # fmt: skip
def test_04_content_type(light: Exchange, kind: str, status: int) -> None:
    lab = light.labs["a"]
    with light.client() as t:
        answer = t.post(OBJECTS, headers=lab.headers | {"Content-Type": kind}, content=json.dumps({"objects": lab.signed()}))
        assert answer.status_code == status


def test_05_401_says_how_and_never_tells_what_is_there(light: Exchange) -> None:
    with light.client() as t:
        known, unknown, nowhere = (t.get(p) for p in (f"/api/collections/{light.collection}/", f"/api/collections/{uuid.uuid4()}/", "/x/y"))
        assert known.content == unknown.content == nowhere.content
        assert {x.status_code for x in (known, unknown, nowhere)} == {401}
        assert "Bearer" in known.headers["www-authenticate"]
        assert "Basic" in known.headers["www-authenticate"]
        for bad in ("Bearer ", "Bearer nonsense", "Basic !!!", "Basic " + base64.b64encode(b"a").decode(), "Digest x"):
            assert t.get("/taxii2/", headers={"Authorization": bad}).status_code == 401
        a = light.labs["a"]
        basic = base64.b64encode(f"a:{a.token}".encode()).decode()
        assert t.get("/taxii2/", headers={"Authorization": f"Basic {basic}"}).status_code == 200


def test_06_to_11_resources(light: Exchange) -> None:
    a = light.labs["a"].headers
    with light.client() as t:
        for path in ("/taxii2", "/taxii2/"):
            found = t.get(path, headers=a).json()
            assert found["default"] in found["api_roots"]
            assert re.fullmatch(r"http://testserver/[a-z]+/", found["default"])  # absolute: cytaxii2 resolves no path
        root = t.get("/api/", headers=a).json()
        assert root["versions"] == ["application/taxii+json;version=2.1"]
        assert root["max_content_length"] > 0
        listed = t.get("/api/collections/", headers=a).json()["collections"][0]
        assert uuid.UUID(listed["id"]).version == 4
        by_alias = t.get("/api/collections/signals/", headers=a)
        assert by_alias.json() == t.get(f"/api/collections/{listed['id']}/", headers=a).json() == listed
        assert t.get("/api/collections/", headers=light.labs["stranger"].headers).json() == {}
        assert t.head("/taxii2/", headers=a).status_code == 200


def test_09_empty_is_an_empty_object(light: Exchange) -> None:
    with light.client() as t:
        for path in ("objects/", "manifest/"):
            answer = t.get(f"/api/collections/signals/{path}?match[type]=malware", headers=light.labs["a"].headers)
            assert answer.json() == {}
            assert "x-taxii-date-added-first" not in answer.headers


def test_12_rights(light: Exchange) -> None:
    with light.client() as t:
        post(t, light.labs["a"], light.labs["a"].signed())
        one = light.labs["a"].release().id
        for who, read, write, delete in (("reader", 200, 403, 403), ("writer", 403, 202, 403), ("stranger", 404, 404, 404)):
            lab = light.labs[who]
            assert t.get(OBJECTS, headers=lab.headers).status_code == read
            assert t.get(OBJECTS + one + "/", headers=lab.headers).status_code == read
            assert t.get("/api/collections/signals/manifest/", headers=lab.headers).status_code == read
            assert t.post(OBJECTS, headers=lab.headers, content=json.dumps({"objects": lab.signed()})).status_code == write
            assert t.delete(OBJECTS + one + "/", headers=lab.headers).status_code == delete
        shown = t.get("/api/collections/signals/", headers=light.labs["reader"].headers).json()
        assert (shown["can_read"], shown["can_write"]) == (True, False)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=", "limit=٣", "added_after=yesterday", "added_after=2026-11-24", "added_after=2026-13-01T00:00:00Z",
        "added_after=2026-11-24T00:00:00%2B01:00", "match[version]=newest", "match[version]=all,last", "match[version]=2026", "limit=1&limit=2", "match[id]=a&match[id]=b",
        "next=nonsense", "next=1-0000000000000000", "match[type]=%00", "added_after=2026-02-30T00:00:00Z",
    ],
)  # fmt: skip
def test_14_malformed_parameters(light: Exchange, query: str) -> None:
    with light.client() as t:
        for path in ("objects/", "manifest/", f"objects/{light.labs['a'].release().id}/"):
            if "match[id]" in query and path.startswith("objects/c"):
                continue
            answer = t.get(f"/api/collections/signals/{path}?{query}", headers=light.labs["a"].headers)
            assert answer.status_code == 400, (path, answer.text)
            assert answer.json()["description"]


def test_14_an_empty_next_is_as_none(light: Exchange) -> None:
    with light.client() as t:
        assert t.get(OBJECTS + "?next=&limit=2", headers=light.labs["a"].headers).status_code == 200


def test_15_versions_types_and_ids(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    mine = a.release()
    back = answer_release(a.id, mine.id, "retraction", "error")
    with exchange.client() as t:
        post(t, a, a.signed())
        post(t, a, a.sealed(wire.objects(mine, back)))
        first, last = f"{mine.document.stamp.day}T00:00:00.000Z", f"{mine.document.stamp.day}T00:00:00.001Z"

        def versions(query: str) -> list[str]:
            found = t.get(f"{OBJECTS}?match[id]={mine.id}&{query}", headers=a.headers).json().get("objects", [])
            return [o["modified"] for o in found]

        assert versions("") == versions("match[version]=last") == versions("match[version]=") == [last]
        assert versions("match[version]=first") == versions(f"match[version]={first}") == [first]
        assert versions("match[version]=all") == versions("match[version]=first,last") == [first, last]
        assert versions(f"match[version]=last,{first}") == [first, last]
        assert versions("match[version]=2020-01-01T00:00:00Z") == []
        assert versions("match[spec_version]=2.0") == []
        assert versions("match[spec_version]=2.1,2.0") == [last]
        assert versions("match[spec_version]=") == versions("match[colour]=red") == [last]
        of_types = t.get(f"{OBJECTS}?match[type]=campaign,intrusion-set", headers=a.headers).json()["objects"]
        assert sorted(o["type"] for o in of_types) == ["campaign", "intrusion-set"]
        assert t.get(f"{OBJECTS}?match[type]=indicator&match[id]={mine.id}", headers=a.headers).json() == {}
        listed = t.get(f"{OBJECTS}{mine.id}/versions/", headers=a.headers)
        assert listed.json()["versions"] == [first, last]
        assert t.get(f"{OBJECTS}{mine.id}/versions/?limit=1", headers=a.headers).json()["more"] is True
        manifest = t.get(f"/api/collections/signals/manifest/?match[id]={mine.id}&match[version]=all", headers=a.headers).json()["objects"]
        assert [m["version"] for m in manifest] == [first, last]
        assert all(TIME.fullmatch(m["date_added"]) and m["media_type"] == "application/stix+json;version=2.1" for m in manifest)


def test_16_to_20_paging(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    with exchange.client() as t:
        for n in range(4):
            post(t, a, a.signed(n))
        whole = t.get(OBJECTS, headers=a.headers)
        every = ids(whole)
        assert "next" not in whole.json()
        dates = [m["date_added"] for m in t.get("/api/collections/signals/manifest/", headers=a.headers).json()["objects"]]
        assert dates == sorted(set(dates))
        assert (whole.headers["x-taxii-date-added-first"], whole.headers["x-taxii-date-added-last"]) == (dates[0], dates[-1])
        for size in (1, 3, len(every) - 1, len(every), len(every) + 1):
            got, query, pages = [], "", 0
            while True:
                page = t.get(f"{OBJECTS}?limit={size}{query}", headers=a.headers)
                got += ids(page)
                pages += 1
                if not page.json().get("more"):
                    assert "next" not in page.json()
                    break
                assert len(ids(page)) == size
                query = f"&next={page.json()['next']}"
            assert got == every
            assert pages == -(-len(every) // size)
        assert t.get(f"{OBJECTS}?limit=999999999999", headers=a.headers).status_code == 200
        # Resuming by date loses nothing and repeats nothing, wherever one stopped.
        for at in (0, 5, len(every) - 1):
            assert ids(t.get(f"{OBJECTS}?added_after={dates[at]}", headers=a.headers)) == every[at + 1 :]
        token = t.get(f"{OBJECTS}?limit=2", headers=a.headers).json()["next"]
        assert t.get(f"{OBJECTS}?limit=2&next={token}&match[type]=campaign", headers=a.headers).status_code == 400
        assert t.get(f"/api/collections/signals/manifest/?next={token}", headers=a.headers).status_code == 400
        assert t.get(f"{OBJECTS}?limit=5&next={token}", headers=exchange.labs["b"].headers).status_code == 200


def test_17_every_version_has_a_date_of_its_own_even_when_the_clock_stands_or_goes_back(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    with exchange.client() as t:
        for n in range(3):
            exchange.now[0] = NOW - 1000 * n
            post(t, a, a.signed(n))
        rows = t.get("/api/collections/signals/manifest/", headers=a.headers).json()["objects"]
        dates = [micros(r["date_added"]) for r in rows]
        assert all(x < y for x, y in pairwise(dates))


def test_21_22_status_and_results_one_by_one(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    good = a.signed()
    bad = {**good[0], "name": "Customer list"}
    with exchange.client() as t:
        told = post(t, a, [*good[:3], bad, 7, {}, {"type": "malware", "id": "malware--1"}])  # type: ignore[list-item]
        assert (told["success_count"], told["failure_count"]) == (3, 4)
        assert told["status"] == "complete"
        assert TIME.fullmatch(told["request_timestamp"])
        assert uuid.UUID(told["id"]).version == 4
        assert all(f["message"] for f in told["failures"])
        assert {s["version"] for s in told["successes"]} == {good[0]["modified"]}
        assert post(t, a, good[:3])["success_count"] == 3  # the very same again
        assert len(ids(t.get(f"{OBJECTS}?match[id]={good[0]['id']}&match[version]=all", headers=a.headers))) == 1
        assert t.get(f"/api/status/{told['id']}/", headers=a.headers).json() == told
        assert t.get(f"/api/status/{told['id']}/", headers=b.headers).status_code == 404
        exchange.now[0] += 86_000
        assert t.get(f"/api/status/{told['id']}", headers=a.headers).status_code == 200
        exchange.now[0] += 1_000
        assert t.get(f"/api/status/{told['id']}/", headers=a.headers).status_code == 404


def test_22_28_only_its_owner_changes_an_object(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as t:
        post(t, a, a.signed())
        stolen = [wire.sign(o, b.key) for o in a.signed()]
        told = post(t, b, stolen)
        assert told["success_count"] == 0
        assert "not the member" in told["failures"][0]["message"]
        assert t.delete(f"{OBJECTS}{a.release().id}/", headers=b.headers).status_code == 403
        assert post(t, b, a.signed())["success_count"] == 0  # signed by a, but not b's to send


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[" * 100_000, 400), (b"\xff\xfe", 400), (b'{"objects":[NaN]}', 400), (b"[]", 422), (b"7", 422), (b"{}", 422), (b'{"objects":{}}', 422),
        (b'{"objects":[]}', 422), (b'{"objects":[{}],"more":false,"x":1}', 202),
    ],
)  # fmt: skip
def test_23_24_bodies(light: Exchange, body: bytes, status: int) -> None:
    with light.client() as t:
        assert t.post(OBJECTS, headers=light.labs["a"].headers, content=body).status_code == status


def test_23_413_counts_chunked_bodies_too(tmp_path: Any, make_exchange: Any) -> None:
    exchange = make_exchange(f"sqlite:///{tmp_path / 'small.db'}", body=50_000, requests=1e6, burst=1e6)
    a = exchange.labs["a"]
    with exchange.client() as t:

        def chunks(n: int) -> Any:
            yield b'{"objects":[{}]'
            for _ in range(n):
                yield b" " * 1000
            yield b"}"

        assert t.post(OBJECTS, headers=a.headers, content=chunks(45)).status_code == 202
        assert t.post(OBJECTS, headers=a.headers, content=chunks(55)).status_code == 413
        assert t.get("/api/", headers=a.headers).json()["max_content_length"] == 50_000


def test_26_27_one_object_and_its_deletion(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    one = a.release().id
    with exchange.client() as t:
        post(t, a, a.signed())
        assert ids(t.get(f"{OBJECTS}{one}/", headers=a.headers)) == [one]
        assert t.get(f"{OBJECTS}{one}/?match[version]=2020-01-01T00:00:00Z", headers=a.headers).json() == {}
        for path in ("", "versions/"):
            assert t.get(f"{OBJECTS}campaign--{uuid.uuid4()}/{path}", headers=a.headers).status_code == 404
        assert t.delete(f"{OBJECTS}campaign--{uuid.uuid4()}/", headers=a.headers).status_code == 404
        gone = t.delete(f"{OBJECTS}{one}/", headers=a.headers)
        assert (gone.status_code, gone.content, gone.headers["content-type"]) == (200, b"", MEDIA)
        for path in (f"objects/{one}/", f"objects/{one}/versions/"):
            assert t.get(f"/api/collections/signals/{path}", headers=a.headers).status_code == 404
        assert t.get(f"/api/collections/signals/manifest/?match[id]={one}", headers=a.headers).json() == {}


def test_27_one_version_alone_can_be_deleted(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    mine = a.release()
    back = answer_release(a.id, mine.id, "retraction", "error")
    with exchange.client() as t:
        post(t, a, a.signed() + a.sealed(wire.objects(mine, back)))
        # The newest says that it was taken back, and cannot go before the others.
        assert t.delete(f"{OBJECTS}{mine.id}/?match[version]=last", headers=a.headers).status_code == 403
        assert t.delete(f"{OBJECTS}{mine.id}/?match[version]=first", headers=a.headers).status_code == 200
        left = t.get(f"{OBJECTS}{mine.id}/?match[version]=all", headers=a.headers).json()["objects"]
        assert [(o["modified"], o["revoked"]) for o in left] == [(f"{mine.document.stamp.day}T00:00:00.001Z", True)]


def test_28_quota_and_retry_after(tmp_path: Any, make_exchange: Any) -> None:
    exchange = make_exchange(f"sqlite:///{tmp_path / 'q.db'}", requests=3.0, burst=3.0)
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as t:
        assert [t.get("/taxii2/", headers=a.headers).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert int(t.get("/taxii2/", headers=a.headers).headers["retry-after"]) >= 1
        assert t.get("/taxii2/", headers=b.headers).status_code == 200
        time.sleep(1.05)
        assert t.get("/taxii2/", headers=a.headers).status_code == 200


def test_expired_objects_are_neither_taken_nor_given_and_are_swept(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    with exchange.client() as t:
        post(t, a, a.signed(0, valid_days=10))
        one = a.release(0, valid_days=10).id

        def held(c: sa.Connection) -> int:
            return int(c.execute(sa.select(sa.func.count()).select_from(objects)).scalar_one())

        with exchange.db.read() as c:
            before = held(c)
        exchange.now[0] += 11 * 86400
        assert t.get(f"{OBJECTS}{one}/", headers=a.headers).status_code == 404
        assert "expired" in post(t, a, a.signed(1, valid_days=5))["failures"][0]["message"]
        with exchange.db.write() as c:
            exchange.db.sweep(c, "2026-12-05", int(exchange.now[0] * 1e6))  # the server's own may have been quicker
            assert exchange.db.sweep(c, "2026-12-05", int(exchange.now[0] * 1e6)) == 0
            assert held(c) <= before - 5


def test_revoked_members_and_old_tokens_are_shut_out_and_rotation_keeps_ownership(exchange: Exchange) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    a, b = exchange.labs["a"], exchange.labs["b"]
    mine = a.release()
    with exchange.client() as t:
        post(t, a, a.signed())
        fresh = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
        with exchange.db.write() as c:
            exchange.db.rotate(c, "a", "new-token", 5)
            exchange.db.add_key(c, "a", fresh.public_key(), 5)
            exchange.db.revoke(c, "b", 5)
        assert t.get("/taxii2/", headers=a.headers).status_code == 401
        assert t.get("/taxii2/", headers=b.headers).status_code == 401
        now = Lab("a", fresh, "new-token")
        assert post(t, now, a.signed(1))["success_count"] == 0  # the retired key signs nothing new
        back = answer_release(a.id, mine.id, "retraction", "error")
        assert post(t, now, sealed(wire.objects(mine, back), fresh, a.key))["failure_count"] == 0
        shown = t.get("/hub/keys/", headers=now.headers).json()["members"]
        assert [a.id, wire.key_id(fresh.public_key())] in [[k["key"] for k in m["keys"]] for m in shown]


def test_metrics_health_and_logs_without_secrets(light: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with light.client() as t:
        assert t.get("/hub/health").json() == {"status": "ok", "log": verifier_key("hub.example/log", light.hub.key.public_key())}
        post(t, light.labs["a"], light.labs["a"].signed())
        assert t.get("/hub/metrics", headers=light.labs["a"].headers).status_code == 403
        shown = t.get("/hub/metrics", headers=light.labs["operator"].headers).text
        assert 'stillwatch_hub_requests_total{method="POST",route="/api/collections/{collection}/objects/",status="202"} 1.0' in shown
        assert "stillwatch_hub_objects_stored_total 11.0" in shown or "stillwatch_hub_objects_stored_total" in shown
    told = [r.data for r in caplog.records if hasattr(r, "data")]  # type: ignore[attr-defined]
    assert {"member": "a", "method": "POST", "route": "/api/collections/{collection}/objects/", "status": 202} in [
        {k: v for k, v in x.items() if k != "ms"} for x in told
    ]
    text = "\n".join(r.getMessage() + str(getattr(r, "data", "")) for r in caplog.records)
    assert not any(lab.token in text for lab in light.labs.values())


def test_times_go_both_ways() -> None:
    for text in ("2026-11-24T00:00:00.000000Z", "1999-12-31T23:59:59.999999Z"):
        assert time_text(micros(text)) == text
    assert micros("2026-11-24T00:00:00Z") == micros("2026-11-24T00:00:00.0000009Z")

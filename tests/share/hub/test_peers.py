"""Clients that others wrote, over real sockets."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import stix2
from cytaxii2.cytaxii2 import cytaxii2
from stix2.datastore.taxii import TAXIICollectionSink, TAXIICollectionSource
from taxii2client.exceptions import TAXIIServiceException
from taxii2client.v21 import Collection, Server, as_pages

from stillwatch.share.wire import stix as wire
from stillwatch.share.wire import vocabulary
from tests.share.hub.conftest import Exchange, Lab
from tests.share.hub.samples import answer_release


@pytest.fixture
def url(served: Any, light: Exchange) -> str:
    return str(served(light.hub.app()))


def test_taxii2_client(url: str, light: Exchange) -> None:
    a = light.labs["a"]
    server = Server(f"{url}/taxii2/", user="a", password=a.token)
    assert server.title == "Stillwatch hub"
    root = server.default
    assert root.versions == ["application/taxii+json;version=2.1"]
    (collection,) = root.collections
    assert (collection.alias, collection.can_read, collection.can_write) == ("signals", True, True)
    status = collection.add_objects({"objects": a.signed()})
    assert (status.status, status.failure_count, status.success_count) == ("complete", 0, len(a.signed()))
    pages = list(as_pages(collection.get_objects, per_request=4))
    every = [o for p in pages for o in p["objects"]]
    assert len(pages) > 3
    assert {o["id"] for o in every} == {o["id"] for o in a.signed()} | set(vocabulary.constants())
    for o in every:
        if wire.signer(o):
            wire.verify(o, a.key.public_key())
    mine = a.release().id
    assert collection.get_object(mine)["objects"][0]["id"] == mine
    assert collection.object_versions(mine)["versions"] == [f"{a.release().document.stamp.day}T00:00:00.000Z"]
    manifest = [m for p in as_pages(collection.get_manifest, per_request=5) for m in p["objects"]]
    assert [m["id"] for m in manifest] == [o["id"] for o in every]
    after = manifest[-4]["date_added"]
    assert len(collection.get_objects(added_after=after)["objects"]) == 3
    assert collection.get_objects(type="campaign")["objects"][0]["id"] == mine
    collection.delete_object(mine)
    with pytest.raises(requests.HTTPError):
        collection.get_object(mine)
    with pytest.raises((requests.HTTPError, TAXIIServiceException)):
        Server(f"{url}/taxii2/", user="a", password="wrong").refresh()


def test_stix2_source_and_sink(url: str, light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]

    def collection(lab: Lab) -> Collection:
        return Collection(f"{url}/api/collections/{light.collection}/", user=lab.name, password=lab.token)

    sink = TAXIICollectionSink(collection(a))
    sink.add([stix2.parse(o) for o in a.signed()])
    said = b.sealed(wire.objects(answer_release(b.id, a.release().id, "opinion", "agree")))
    TAXIICollectionSink(collection(b)).add(json.dumps(wire.bundle(said)))
    source = TAXIICollectionSource(collection(b))
    mine = source.get(a.release().id)
    wire.examine(json.loads(mine.serialize()), a.key.public_key())
    found = source.query([stix2.Filter("type", "=", "indicator")])
    assert {o["id"] for o in found} == {o["id"] for o in a.signed() if o["type"] == "indicator"}
    assert [v["modified"] for v in source.all_versions(a.release().id)] == [mine["modified"]]
    assert source.query([stix2.Filter("type", "=", "opinion")])[0]["opinion"] == "agree"


def test_cytaxii2(url: str, light: Exchange) -> None:
    a = light.labs["a"]
    client = cytaxii2(discovery_url=f"{url}/taxii2/", username="a", password=a.token)
    found = client.discovery_request()
    assert found["status_code"] == 200, found
    # P17: it resolves no relative api_roots, which the specification allows, so ours are whole addresses.
    assert client.collection_request()["response"]["collections"][0]["id"] == light.collection
    sent = client.inbox_request(light.collection, json.dumps({"objects": a.signed()}))
    assert (sent["status_code"], sent["response"]["failure_count"]) == (202, 0)
    polled = client.poll_request(light.collection, limit=5)
    assert len(polled["response"]["objects"]) == 5
    again = client.poll_request(light.collection, limit=5, next=polled["response"]["next"])
    assert again["response"]["objects"][0]["id"] not in {o["id"] for o in polled["response"]["objects"]}
    assert client.poll_request(light.collection, object_type="campaign")["response"]["objects"][0]["id"] == a.release().id


def test_the_service_s_own_address_is_what_it_serves(url: str) -> None:
    assert urlsplit(url).hostname == "127.0.0.1"
    assert requests.get(f"{url}/hub/health", timeout=5).json()["status"] == "ok"

"""What a patched client, a thief of lab.key or a rival in the alliance sends: the hub asks the rules itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
import rfc8785

import stillwatch.share.release as door
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.contribution import Caps
from stillwatch.share.hub.database import HubError, Incoming, Member
from stillwatch.share.hub.tables import ids as ids_table
from stillwatch.share.hub.tables import objects as objects_table
from stillwatch.share.hub.tables import statements as statements_table
from stillwatch.share.hub.taxii import MEDIA
from stillwatch.share.tlog import log as tree
from stillwatch.share.wire import persons
from stillwatch.share.wire import stix as wire
from tests.share.hub.conftest import Exchange, Lab
from tests.share.hub.samples import NOW, TODAY, answer_release, campaign_release, person_of, sealed, statements_of
from tests.share.release.test_smuggling import FORBIDDEN, smuggled

OBJECTS = "/api/collections/signals/objects/"


class Through:
    """An HTTP client over the test's own."""

    def __init__(self, t: Any) -> None:
        self._t = t

    def request(self, method: str, url: str, **more: Any) -> Any:
        return self._t.request(method, url.removeprefix("http://hub"), **more)


def post(t: Any, lab: Lab, objects: list[Any]) -> dict[str, Any]:
    answer = t.post(OBJECTS, headers=lab.headers, content=json.dumps({"objects": objects}))
    assert answer.status_code == 202, answer.text
    told: dict[str, Any] = answer.json()
    return told


def stored(t: Any, lab: Lab) -> set[str]:
    answer = t.get(OBJECTS, headers=lab.headers | {"Accept": MEDIA}, params={"match[version]": "all"}).json()
    return {
        o["id"] for o in answer.get("objects", ()) if "created_by_ref" in o and o["type"] not in ("extension-definition", "attack-pattern")
    }


def refused(t: Any, lab: Lab, objects: list[Any], why: str) -> None:
    before = stored(t, lab)
    told = post(t, lab, objects)
    assert told["success_count"] == 0, told
    assert all(why in f["message"] for f in told["failures"]), told["failures"]
    assert stored(t, lab) == before


def changed(release: door.Release, **values: Any) -> door.Release:
    """A document as a patched client makes it: past every rule of the door, but within the schema."""
    plain = door.to_plain(release.document)
    stamp = values.pop("stamp", {})
    return door.reopen(plain | values | {"stamp": plain["stamp"] | stamp})


def test_a01_an_object_on_a_campaign_that_does_not_exist_carries_nothing(exchange: Exchange) -> None:
    """15 bytes of a customer's name in the id of a campaign that nobody released."""
    a = exchange.labs["a"]
    text = b"ACME pays 9.9M$"
    invented = f"campaign--{UUID(bytes=text[:6] + bytes([0x50 | text[6] & 15]) + text[7:8] + bytes([0x80 | text[8] & 0x3F]) + text[9:15] + b'!', version=5)}"
    with exchange.client() as t:
        for kind, value in (("opinion", "agree"), ("sighting", "seen"), ("sighting", "not-seen")):
            refused(t, a, a.sealed(wire.objects(answer_release(a.id, invented, kind, value))), "does not have")
        loose = copy.deepcopy([o for o in wire.objects(a.release(7)) if o["type"] != "campaign"])
        refused(t, a, a.sealed(loose), "does not have")


def test_derived_objects_stand_in_their_campaign_s_document_and_belong_to_its_owner(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as t:
        post(t, a, a.signed())
        about = a.release().id
        frame = wire._Frame(about, a.id, "amber", TODAY.isoformat(), a.release().document.stamp.valid_until)
        more = [frame.indicator("hosting", "AS7"), frame.indicates("hosting", "AS7"), frame.infrastructure("reseller")]
        refused(t, a, a.sealed(more), "does not stand in the document")
        late = wire._Frame(about, a.id, "amber", TODAY.isoformat(), (TODAY + timedelta(days=3)).isoformat())
        refused(t, a, a.sealed([late.cluster()]), "does not stand in the document")
        theirs = wire._Frame(about, b.id, "amber", TODAY.isoformat(), a.release().document.stamp.valid_until)
        refused(t, b, b.sealed([theirs.infrastructure("proxy-pool")]), "another member")


def test_one_sighting_and_one_opinion_a_member_and_campaign_and_none_on_ones_own(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    about = a.release().id
    with exchange.client() as t:
        post(t, a, a.signed())
        refused(t, a, a.sealed(wire.objects(answer_release(a.id, about, "opinion", "agree"))), "your own campaign")
        for kind, first, second in (("opinion", "agree", "disagree"), ("sighting", "seen", "not-seen")):
            assert post(t, b, b.sealed(wire.objects(answer_release(b.id, about, kind, first))))["success_count"] == 1
            refused(t, b, b.sealed(wire.objects(answer_release(b.id, about, kind, second))), "another content")
            exchange.now[0] += 86400
            later = answer_release(b.id, about, kind, second, today=TODAY + timedelta(days=1))
            assert post(t, b, b.sealed(wire.objects(later)))["success_count"] == 1
            exchange.now[0] -= 86400
        held = [i for i in stored(t, b) if i.startswith(("opinion", "sighting"))]
        assert len(held) == 2


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"grounds": [], "counsel": False}, "R01"),
        ({"stamp": {"day": "2099-01-01", "valid_until": "2099-03-01"}, "first_day": "2098-12-01", "last_day": "2098-12-02"}, "R08"),
        ({"stamp": {"day": "2026-11-25"}}, "R08"),
        ({"stamp": {"day": "2026-11-16"}}, "R08"),
        ({"stamp": {"day": "2026-11-20", "valid_until": "2026-11-24"}}, "R08"),
        ({"stamp": {"legal_basis": "us-cisa-2015"}}, "R04"),  # lapsed on 30 September 2026
    ],
)
def test_a05_rules_that_a_document_decides_are_decided_at_the_hub(exchange: Exchange, how: dict[str, Any], why: str) -> None:
    a = exchange.labs["a"]
    wrong = changed(a.release(), **how)
    with exchange.client() as t:
        refused(t, a, a.sealed([o for o in wire.objects(wrong) if o["type"] == "campaign"]), why)


def test_a_basis_that_lapses_holds_for_what_was_sent_before_and_for_nothing_after(light: Exchange) -> None:
    a = light.labs["a"]
    with light.client() as t:
        assert post(t, a, a.signed())["failure_count"] == 0
        light.now[0] += 250 * 86400  # the review that counsel owes is due on 30 June 2027
        day = TODAY + timedelta(days=250)
        refused(t, a, a.sealed(wire.objects(campaign_release(a.id, 3, today=date(2027, 6, 30)))[:1]), "R08")
        new = changed(
            campaign_release(a.id, 4, today=date(2027, 6, 30)),
            stamp={"day": day.isoformat(), "valid_until": (day + timedelta(days=9)).isoformat()},
        )
        refused(t, a, a.sealed(wire.objects(new)[:1]), "R04")


def test_approval_is_asked_of_persons_whom_the_member_enrolled(exchange: Exchange) -> None:
    """Whoever holds lab.key alone releases nothing."""
    a, b = exchange.labs["a"], exchange.labs["b"]
    release = a.release()
    o = wire.objects(release)[0]
    thief = wire.sign_approval(release, "release", a.key)
    elsewhere = wire.sign_approval(a.release(1), "release", person_of(a.key))
    by_counsel = wire.sign_approval(release, "release", person_of(a.key, "counsel"))
    rival = wire.sign_approval(release, "release", person_of(b.key))
    good = wire.sign_approval(release, "release", person_of(a.key))
    forged = wire.Approval(good.digest, "release", good.key, good.value[:-2] + ("00" if good.value[-2:] != "00" else "11"))
    with exchange.client() as t:
        refused(t, a, [wire.sign(o, a.key)], "no approval")
        for wrong, why in (
            (thief, "nobody whom"),
            (rival, "nobody whom"),
            (by_counsel, "nobody whom"),
            (forged, "does not hold"),
            (elsewhere, "approval"),
        ):
            refused(t, a, [wire.sign(wire.approved(o, [wrong]), a.key)], why)
        two = wire.approved(o, [good, wire.sign_approval(release, "counsel", person_of(a.key, "counsel"))])
        refused(t, a, [wire.sign(two, a.key)], "nothing else")
        assert post(t, a, [wire.sign(wire.approved(o, [good]), a.key)])["success_count"] == 1


def test_what_counsel_releases_bears_counsel_s_own_signature(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    for how in ({"grounds": [], "counsel": True}, {"stamp": {"legal_basis": "counsel-opinion"}}):
        release = changed(a.release(), **how)
        o = wire.objects(release)[0]
        approver = person_of(a.key)
        with exchange.client() as t:
            refused(t, a, [wire.sign(wire.approved(o, [wire.sign_approval(release, "release", approver)]), a.key)], "approval")
            both = [wire.sign_approval(release, "release", approver), wire.sign_approval(release, "counsel", approver)]
            refused(t, a, [wire.sign(wire.approved(o, both), a.key)], "nobody whom")
            assert post(t, a, sealed([o], a.key))["success_count"] == 1


def test_persons_are_enrolled_by_two_hands_and_removed_ones_approve_nothing_new(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    approver, counsel, fresh = person_of(a.key), person_of(a.key, "counsel"), person_of(a.key, "newcomer")

    def public(key: Any) -> str:
        return str(key.public_key().public_bytes_raw().hex())

    def told(statement: dict[str, Any]) -> Any:
        return t.post("/hub/persons/", headers=a.headers, json={"statements": [statement]})

    with exchange.client() as t:
        post(t, a, a.signed())
        alone = persons.state("add", public(fresh), ["release"], a.id, 2, fresh, None)
        assert "second hand" in told(persons.countersign(alone, a.key)).json()["description"]  # a thief of lab.key adds nobody
        by_himself = persons.state("add", public(fresh), ["release"], a.id, 2, fresh, fresh)
        assert told(persons.countersign(by_himself, a.key)).status_code == 422
        not_the_lab = persons.state("add", public(fresh), ["release"], a.id, 2, fresh, counsel)
        assert told(persons.countersign(not_the_lab, fresh)).status_code == 422
        gone = persons.countersign(persons.state("remove", public(approver), [], a.id, 2, None, counsel), a.key)
        assert told(gone).json() == {"taken": 1}
        assert told(gone).json() == {"taken": 0}  # sent twice does no harm
        refused(t, a, a.signed(1)[:1], "nobody whom")
        again = persons.countersign(persons.state("add", public(approver), ["release"], a.id, 3, approver, counsel), a.key)
        assert told(again).status_code == 422  # who was removed stays what he was; a new key is needed
        added = persons.countersign(persons.state("add", public(fresh), ["release"], a.id, 3, fresh, counsel), a.key)
        assert told(added).json() == {"taken": 1}
        shown = [m["persons"] for m in t.get("/hub/keys/", headers=a.headers).json()["members"] if m["keys"][0]["key"] == a.id]
        everybody = persons.fold(shown[0], {a.id: a.key.public_key()})
        assert [s.removed is None for s in everybody.values()] == [False, True, True]
        assert shown[0][:2] == statements_of(a.key)


def test_p10_what_is_deleted_leaves_a_tombstone_and_is_not_given_again(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    about = a.release().id
    with exchange.client() as t:
        post(t, a, a.signed())
        post(t, b, b.sealed(wire.objects(answer_release(b.id, about, "opinion", "agree"))))
        assert t.delete(f"{OBJECTS}{about}/", headers=a.headers | {"Accept": MEDIA}).status_code == 200
        ended = t.get("/hub/ended/", headers=b.headers).json()["ended"]
        assert about in {e["id"] for e in ended}
        assert not [i for i in stored(t, b) if not i.startswith("opinion")]  # what belongs to it went along; another's word on it is his
        refused(t, a, a.signed()[:1], "deleted")
        refused(t, b, b.sealed(wire.objects(answer_release(b.id, about, "sighting", "seen"))), "deleted")
        assert t.get("/hub/ended/", headers=b.headers, params={"after": ended[-1]["number"]}).json() == {"ended": []}
        tile = t.get(f"/log/tile/entries/000.p/{ended[0]['number'] + 1}/", headers=b.headers).content
        assert about.encode() in tile  # the log names it, so that a reader can look it up


def test_retracted_and_expired_ids_stay_so_and_versions_only_go_forward(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    mine = a.release(0, valid_days=3)
    back = answer_release(a.id, a.release(1).id, "retraction", "error")
    with exchange.client() as t:
        post(t, a, a.signed(0, valid_days=3))
        post(t, a, a.signed(1))
        assert post(t, a, a.sealed(wire.objects(a.release(1), back)))["failure_count"] == 0
        refused(t, b, b.sealed(wire.objects(answer_release(b.id, a.release(1).id, "opinion", "agree"))), "revoked")
        later = answer_release(a.id, a.release(1).id, "retraction", "legal", today=TODAY + timedelta(days=1))
        exchange.now[0] += 86400
        refused(t, a, a.sealed(wire.objects(a.release(1), later))[:1], "revoked")
        exchange.now[0] += 4 * 86400
        with exchange.db.write() as c:
            exchange.db.sweep(c, (TODAY + timedelta(days=5)).isoformat(), 1)
        assert mine.id not in stored(t, b)
        with exchange.db.read() as c:
            assert exchange.db.campaigns(c, exchange.collection, [mine.id])[mine.id][:2] == ("a", "expired")


def test_what_a_member_may_say_is_capped(url: str, make_exchange: Callable[..., Exchange]) -> None:
    exchange = make_exchange(url, requests=1e6, burst=1e6, caps=Caps(networks=5, campaigns=3))
    a = exchange.labs["a"]
    with exchange.client() as t:
        assert post(t, a, a.signed(0, networks=4))["failure_count"] == 0
        refused(t, a, a.signed(1, networks=4)[:1], "too many networks")  # counted in the document, whatever indicators are sent with it
        post(t, a, a.signed(2, networks=0))
        post(t, a, a.signed(3, networks=0))
        refused(t, a, a.signed(4, networks=0)[:1], "too many campaigns")
        assert t.delete(f"{OBJECTS}{a.release(2, networks=0).id}/", headers=a.headers | {"Accept": MEDIA}).status_code == 200
        refused(t, a, a.signed(4, networks=0)[:1], "too many campaigns")  # what was deleted stays counted


def test_p01_pages_go_on_with_next_alone_as_opencti_s_connector_asks(exchange: Exchange) -> None:
    a, b = exchange.labs["a"], exchange.labs["b"]
    with exchange.client() as t:
        for n in range(3):
            post(t, a, a.signed(n))
        accept = b.headers | {"Accept": MEDIA}
        whole = [o["id"] for o in t.get(OBJECTS, headers=accept, params={"added_after": "2020-01-01T00:00:00Z"}).json()["objects"]]
        page = t.get(OBJECTS, headers=accept, params={"added_after": "2020-01-01T00:00:00Z", "limit": 4}).json()
        seen = [o["id"] for o in page["objects"]]
        while page.get("more"):
            page = t.get(OBJECTS, headers=accept, params={"next": page["next"]}).json()
            assert len(page["objects"]) <= 4
            seen += [o["id"] for o in page["objects"]]
        assert seen == whole
        first = t.get(OBJECTS, headers=accept, params={"match[type]": "campaign", "limit": 1}).json()
        assert t.get(OBJECTS, headers=accept, params={"next": first["next"], "match[type]": "indicator"}).status_code == 400
        assert t.get(OBJECTS.replace("objects", "manifest"), headers=accept, params={"next": first["next"]}).status_code == 400
        following = t.get(OBJECTS, headers=accept, params={"next": first["next"]}).json()["objects"]
        assert [o["type"] for o in following] == ["campaign"]


def test_a_reader_asks_again_what_a_bad_hub_did_not(light: Exchange) -> None:
    """The hub stores whatever it likes, past all of its rules, and shows persons whom nobody enrolled."""
    a, b = light.labs["a"], light.labs["b"]
    no_ground, lapsed = changed(a.release(1), grounds=[], counsel=False), changed(a.release(2), stamp={"legal_basis": "us-cisa-2015"})
    future = changed(a.release(3), stamp={"day": "2026-12-24", "valid_until": "2027-01-09"})
    frame = wire._Frame(a.release(4).id, a.id, "amber", TODAY.isoformat(), a.release(4).document.stamp.valid_until)
    stored: dict[str, list[dict[str, Any]]] = {
        "no approval": [wire.sign(wire.objects(a.release())[0], a.key)],
        "R01": a.sealed(wire.objects(no_ground)[:1]),
        "R04": a.sealed(wire.objects(lapsed)[:1]),
        "R08": a.sealed(wire.objects(future)[:1]),
        "does not stand": a.sealed([*wire.objects(a.release(4))[:1], frame.indicator("hosting", "AS7")])[::-1],
        "not here": a.sealed(wire.objects(a.release(5))[1:2]),
        "that is not here": a.sealed(wire.objects(answer_release(a.id, a.release(6).id, "opinion", "agree"))),
    }
    with light.client() as t:
        client = HubClient("http://hub", b.token, Through(t))  # type: ignore[arg-type]
        for why, objects in stored.items():
            with light.db.write() as c:
                good = wire.examine(objects[-1], a.key.public_key())
                made = [Incoming(o["id"], o["type"], o["modified"], 1, "", "2099-01-01", rfc8785.dumps(o)) for o in reversed(objects)]
                light.db.add(c, light.collection, Member("a", "", "", (), frozenset(), {}, {}), made, 1)
            pages = list(client.pull(None, client.directory(), today=TODAY))
            bad = [reason for _, _, some in pages for _, reason in some]
            assert any(why in reason for reason in bad), (why, bad, good.id)
            with light.db.write() as c:
                c.execute(objects_table.delete())
                c.execute(ids_table.delete())
        thief = person_of(a.key, "thief")
        alone = persons.countersign(
            persons.state("add", thief.public_key().public_bytes_raw().hex(), ["release"], a.id, 2, thief, None), a.key
        )
        with light.db.write() as c:
            c.execute(statements_table.insert().values(member="a", number=2, body=rfc8785.dumps(alone)))
        assert client.directory().persons[a.id] == {}  # nobody's word holds for that member any more; the others' does
        assert client.directory().persons[b.id]


@pytest.mark.slow
def test_nothing_smuggled_by_a_patched_client_is_stored(light: Exchange) -> None:
    """Forbidden content at every place of every kind of object, approved and signed by a member: more than ten thousand, none stored; nor a mutation of a good one."""
    a, b = light.labs["a"], light.labs["b"]
    with light.client() as t:
        post(t, b, b.signed())
        mine, about = a.release(), b.release().id
        seen = answer_release(a.id, about, "sighting", "not-seen")
        good = {o["type"] + o.get("relationship_type", ""): o for o in (*wire.objects(mine), *wire.objects(seen))}
        good["revoked"] = wire.objects(mine, answer_release(a.id, mine.id, "retraction", "error"))[0]
        before, tried, batch = stored(t, a), 0, list[Any]()
        for o in good.values():
            whole = a.sealed([o])[0]
            for text in list(FORBIDDEN.values())[:3]:
                for _, wrong in smuggled(o, text):
                    if wrong == o or not isinstance(wrong, dict):
                        continue
                    try:
                        ext = wrong.get("extensions") or {}
                        signed = wire.sign(
                            {**wrong, "extensions": {**ext, **{k: v for k, v in whole["extensions"].items() if k not in ext}}}, a.key
                        )
                    except (TypeError, ValueError, AttributeError, rfc8785.CanonicalizationError):
                        continue
                    batch.append(signed)
        for start in range(0, len(batch), 2000):
            told = post(t, a, batch[start : start + 2000])
            assert told["success_count"] == 0, list(told["successes"])[:2]
            tried += told["failure_count"]
        assert stored(t, a) == before
        print(f"{tried:,} objects with forbidden content sent to the hub, none stored")
        assert tried >= 10_000


def test_a_retraction_holds_as_long_as_anybody_may_have_the_campaign(light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]
    mine = a.release(0, valid_days=180)
    back = answer_release(a.id, mine.id, "retraction", "error")  # valid for 90 days itself
    with light.client() as t:
        post(t, a, a.sealed(wire.objects(mine)))
        post(t, a, a.sealed(wire.objects(mine, back)))
        late = TODAY + timedelta(days=120)
        light.now[0] += 120 * 86400
        client = HubClient("http://hub", b.token, Through(t))  # type: ignore[arg-type]
        pages = list(client.pull(None, client.directory(), today=late))
    assert not [bad for _, _, some in pages for bad in some]
    assert any(p.received.revoked and p.received.id == mine.id for _, good, _ in pages for p in good)


def test_what_was_taken_back_is_not_served_again_by_deleting_a_version(exchange: Exchange) -> None:
    a = exchange.labs["a"]
    back = answer_release(a.id, a.release().id, "retraction", "error")
    with exchange.client() as t:
        post(t, a, a.signed())
        post(t, a, a.sealed(wire.objects(a.release(), back)))
        accept = a.headers | {"Accept": MEDIA}
        assert t.delete(f"{OBJECTS}{a.release().id}/?match[version]=last", headers=accept).status_code == 403
        assert t.get(f"{OBJECTS}{a.release().id}/", headers=accept).json()["objects"][0]["revoked"] is True


def test_parts_of_a_retracted_campaign_stand_in_it_to_the_byte(light: Exchange) -> None:
    a = light.labs["a"]
    back = answer_release(a.id, a.release().id, "retraction", "error")
    with light.client() as t:
        post(t, a, a.signed())
        post(t, a, a.sealed(wire.objects(a.release(), back)[:1]))
        until = a.release().document.stamp.valid_until
        other_day = wire._Frame(a.release().id, a.id, "amber", "2026-11-20", until, TODAY.isoformat())
        refused(t, a, a.sealed([other_day.cluster()]), "does not stand")
        empty = wire.approved(wire.objects(a.release(), back)[1], [])
        refused(t, a, [wire.sign(empty, a.key)], "carries no document")
        assert post(t, a, a.sealed(wire.objects(a.release(), back)[1:]))["failure_count"] == 0


def test_an_id_with_a_later_version_outlives_the_sweep_of_an_earlier_one(light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]
    about = a.release().id
    with light.client() as t:
        post(t, a, a.signed())
        for days, (opinion, valid) in enumerate((("agree", 2), ("neutral", 90), ("disagree", 90))):
            day = TODAY + timedelta(days=days)
            light.now[0] = NOW + 86400 * days
            if days == 2:
                with light.db.write() as c:
                    light.db.sweep(c, (TODAY + timedelta(days=3)).isoformat(), 1)
            said = door.prepare(door.Draft(about, ledger="x", valid_days=valid), door.Policy(b.id), day, answer="opinion", value=opinion)
            assert isinstance(said, door.Release)
            assert post(t, b, b.sealed(wire.objects(said)))["success_count"] == 1


def test_statements_on_persons_carry_no_text_and_no_power_that_the_second_hand_has_not(light: Exchange) -> None:
    a = light.labs["a"]
    counsel, fresh, auditor = person_of(a.key, "counsel"), person_of(a.key, "newcomer"), person_of(a.key, "auditor")

    def public(key: Any) -> str:
        return str(key.public_key().public_bytes_raw().hex())

    def told(made: dict[str, Any]) -> Any:
        return t.post("/hub/persons/", headers=a.headers, json={"statements": [made]})

    with light.client() as t:
        good = persons.countersign(persons.state("add", public(auditor), ["auditor"], a.id, 2, auditor, counsel), a.key)
        spaced = " ".join(good["own"][i : i + 2] for i in range(0, 128, 2))
        for wrong in ({**good, "own": spaced}, {**good, "hand": good["hand"].upper()}, {**good, "own": "ACME pays 9.9M$"}):
            assert told(persons.countersign(wrong, a.key)).status_code == 422
        assert told(good).json() == {"taken": 1}
        raised = persons.state("add", public(fresh), ["release"], a.id, 3, fresh, auditor)
        assert "release or counsel" in told(persons.countersign(raised, a.key)).json()["description"]
        taken = persons.state("remove", public(counsel), [], a.id, 3, None, auditor)
        assert told(persons.countersign(taken, a.key)).status_code == 422
        same = persons.state("roles", public(auditor), ["auditor"], a.id, 3, auditor, counsel)
        assert told(persons.countersign(same, a.key)).status_code == 422
        small = persons.state("add", "01" + "00" * 31, ["release"], a.id, 3, fresh, counsel)
        assert "not a public key" in told(persons.countersign(small, a.key)).json()["description"]
        with light.db.write() as c, pytest.raises(HubError, match="a person's"):
            light.db.add_key(c, "a", counsel.public_key(), 5)
        with pytest.raises(wire.WireError, match="more than"):
            persons.fold([good] * (persons.MOST + 1), {a.id: a.key.public_key()})
        # A change of roles is not a change of the past.
        other = persons.countersign(
            persons.state("roles", public(person_of(a.key)), ["auditor"], a.id, 3, person_of(a.key), counsel), a.key
        )
        post(t, a, a.signed())
        assert told(other).json() == {"taken": 1}
        client = HubClient("http://hub", light.labs["b"].token, Through(t))  # type: ignore[arg-type]
        assert not [bad for _, _, some in client.pull(None, client.directory(), today=TODAY) for bad in some]
        refused(t, a, a.signed(1)[:1], "nobody whom")


def test_of_a_cosignature_its_line_alone_is_kept(light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]
    with light.client() as t:
        note = t.get("/log/checkpoint/", headers=a.headers).text
        head = tree.read_checkpoint(note)
        line = tree.cosign(head.text, a.id, a.key, 7)
        assert (
            t.post("/log/checkpoint/", headers=a.headers, content=f"{note}\u2014 {a.id} {'QUNNRQ' * 50}==\n{line}".encode()).status_code
            == 200
        )
        (kept,) = t.get("/log/cosigned/", headers=b.headers).json()["notes"]
    assert kept.endswith(line) and "QUNNRQ" not in kept


def test_a_tombstone_is_the_log_s_and_of_the_very_object(light: Exchange) -> None:
    a, b = light.labs["a"], light.labs["b"]
    with light.client() as t:
        post(t, a, a.signed())
        post(t, b, b.signed())
        assert t.delete(f"{OBJECTS}{a.release().id}/", headers=a.headers | {"Accept": MEDIA}).status_code == 200
        client = HubClient("http://hub", b.token, Through(t))  # type: ignore[arg-type]
        log = client.directory().log
        told = client.ended(-1, log)
        assert {named for _, _, named in told} == {a.release().id}
        number = told[0][1]
        with light.db.write() as c:  # the hub says of another's campaign what its log says of this one, or of nothing
            c.execute(ids_table.update().where(ids_table.c.id == b.release().id).values(ended="deleted", number=number))
        assert [named for ident, _, named in client.ended(-1, log) if ident == b.release().id] == [a.release().id]
        with light.db.write() as c:
            c.execute(ids_table.update().where(ids_table.c.id == b.release().id).values(number=number - 1))
        with pytest.raises(tree.LogError):
            client.ended(-1, log)

"""STIX: what we send is valid to others' tools, comes back the same, and is refused when a byte differs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
import rfc8785
import stix2
import stix2validator
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

import stillwatch.share.release as door
from stillwatch.share.wire import persons, vocabulary
from stillwatch.share.wire import stix as wire
from tests.share.hub.samples import TODAY, answer_release, campaign_release
from tests.share.release.test_door import CAMPAIGN

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
PUBLIC = KEY.public_key()
ME = wire.key_id(PUBLIC)


def everything() -> list[dict[str, object]]:
    """Every kind of object that we ever emit, signed."""
    networks = tuple(
        door.Network(k, v)  # type: ignore[arg-type]
        for k, v in (
            ("proxy-pool", "192.31.196.0/24"),
            ("hosting", "2620:4f:8000::/48"),
            ("anonymisation", "AS112"),
            ("reseller", "192.175.48.0/24"),
        )
    )
    campaign = replace(CAMPAIGN, techniques=tuple((t, "observed") for t in sorted(vocabulary.TO_ATLAS)))
    draft = door.Draft(
        campaign, grounds=door.grounds_of(campaign), networks=networks, ledger="x", removed=door.scrubbed(campaign), tlp="amber+strict"
    )
    mine = door.prepare(draft, door.Policy(ME), TODAY, access_path="api")
    assert isinstance(mine, door.Release)
    out = wire.objects(mine) + wire.objects(mine, answer_release(ME, mine.id, "retraction", "error", today=date(2026, 11, 25)))
    for kind, value in (("sighting", "seen"), ("sighting", "not-seen"), ("opinion", "strongly-disagree")):
        out += wire.objects(answer_release(ME, mine.id, kind, value))
    return [wire.sign(o, KEY) for o in out]


def test_all_that_we_emit_is_valid_stix() -> None:
    bundle = wire.bundle(everything())
    bundle["objects"] = list({json.dumps(o, sort_keys=True): o for o in [*bundle["objects"], *vocabulary.constants().values()]}.values())
    results = stix2validator.validate_string(json.dumps(bundle), stix2validator.ValidationOptions(version="2.1"))
    assert results.is_valid, [str(e) for r in results.object_results for e in r.errors]
    types = {o["type"] for o in bundle["objects"]}
    assert types == {
        "campaign", "intrusion-set", "attack-pattern", "infrastructure", "indicator", "sighting", "opinion", "relationship", "identity", "marking-definition",
        "extension-definition",
    }  # fmt: skip


def test_stix2_parses_all_of_it_and_keeps_every_value() -> None:
    for o in everything():
        again = json.loads(stix2.parse(json.dumps(o)).serialize())
        assert wire.examine(again, PUBLIC).id == o["id"]


def test_a_sighting_in_vain_has_count_0_and_one_that_saw_has_none() -> None:
    of = campaign_release(ME).id
    assert wire.objects(answer_release(ME, of, "sighting", "not-seen"))[0]["count"] == 0
    assert "count" not in wire.objects(answer_release(ME, of, "sighting", "seen"))[0]


def test_objects_come_back_with_what_they_say() -> None:
    for o in everything():
        received = wire.examine(json.loads(json.dumps(o)), PUBLIC)
        assert (received.by, received.version, received.revoked) == (ME, o["modified"], o.get("revoked", False))
        assert received.about.startswith("campaign--")


def test_ids_are_made_from_content_and_never_meet_another_member_s() -> None:
    other = "f" * 16
    a, b = ({o["id"] for o in wire.objects(campaign_release(m))} for m in (ME, other))
    assert not a & b
    assert a == {o["id"] for o in wire.objects(campaign_release(ME))}


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    o = data.draw(st.sampled_from(everything()))
    text = json.dumps(o)
    at = data.draw(st.integers(0, len(text) - 1))
    by = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = text[:at] + by + text[at + 1 :]
    try:
        value = json.loads(changed)
    except ValueError:
        return
    if value == o or not isinstance(value, dict):
        return
    with pytest.raises(wire.WireError):
        wire.examine(value, PUBLIC)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=8,
    )
)
def test_anything_else_is_refused_with_words(value: object) -> None:
    for o in (value, {"type": "campaign", "extensions": {vocabulary.RELEASE: value}}, {**everything()[0], "extensions": value}):
        if isinstance(o, dict):
            with pytest.raises(wire.WireError, match=r"\w"):
                wire.examine(o, PUBLIC)


def test_another_key_is_not_enough() -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    o = wire.unsigned(everything()[0])
    with pytest.raises(wire.WireError, match="is not the member"):
        wire.examine(wire.sign(o, other), other.public_key())
    assert wire.examine(wire.sign(o, other), other.public_key(), {ME})
    with pytest.raises(wire.WireError, match="signature"):
        wire.examine(wire.sign(o, other), PUBLIC)
    with pytest.raises(wire.WireError, match="signature"):
        wire.examine(o, PUBLIC)


def test_the_quick_canonical_form_is_the_slow_one() -> None:
    for o in [*everything(), *map(dict, vocabulary.constants().values())]:
        assert wire.canonical_of(o) == rfc8785.dumps(o)


@given(
    st.recursive(
        st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=12,
    )
)
def test_the_quick_canonical_form_of_anything_without_fractions_is_the_slow_one(value: Any) -> None:
    o = {"x": value}
    try:
        slow = rfc8785.dumps(o)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return
    assert wire.canonical_of(o) == slow


def test_a_retraction_is_its_producer_s_own() -> None:
    mine, other = campaign_release(ME), campaign_release("f" * 16)
    for wrong in (answer_release("f" * 16, mine.id, "retraction", "error"), answer_release(ME, other.id, "retraction", "error")):
        with pytest.raises(wire.WireError, match="retraction"):
            wire.objects(mine, wrong)


def test_what_does_not_travel_is_refused_with_words() -> None:
    mine = campaign_release(ME)
    tokens = {"trait": "payment", "epoch": "2026q4", "tokens": [{"tag": "0" * 32, "share": "0" * 64, "sealed": "0" * 96}]}
    batch = door.reopen({"format": door.FORMAT, "kind": "tokens", "stamp": door.to_plain(mine.document)["stamp"], **tokens})
    with pytest.raises(wire.WireError, match="does not travel"):
        wire.objects(batch)
    o = wire.objects(mine)[0]
    swapped = o | {"extensions": {vocabulary.RELEASE: {"extension_type": "property-extension", "document": door.to_plain(batch.document)}}}
    with pytest.raises(wire.WireError, match="does not travel"):
        wire.examine(swapped)
    with pytest.raises(wire.WireError, match="identities"):
        wire.examine(wire.identity(ME) | {"extensions": o["extensions"]})
    theirs = wire._campaign_object(mine, mine.document, answer_release("f" * 16, mine.id, "retraction", "error"))  # type: ignore[arg-type]
    with pytest.raises(wire.WireError, match="producer"):
        wire.examine(theirs)


def test_one_person_is_not_both_approver_and_counsel() -> None:
    release = door.reopen(door.to_plain(campaign_release(ME).document) | {"counsel": True})
    both = [wire.sign_approval(release, role, OTHER) for role in ("release", "counsel")]
    got = wire.examine(wire.approved(wire.objects(release)[0], both))
    everything_ = {wire.key_id(OTHER.public_key()): wire.Person(OTHER.public_key(), frozenset({"release", "counsel"}))}
    with pytest.raises(wire.WireError, match="two persons"):
        wire.check_approvals(got, everything_)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"statement": "another"}, "not of this form"),
        ({"more": 1}, "not of this form"),
        ({"n": 1}, "its number is 1"),
        ({"n": False}, "its number is False"),
        ({"roles": ["release", "auditor"]}, "roles or key are none"),
        ({"roles": ["king"]}, "roles or key are none"),
        ({"public_key": "zz" * 32}, "roles or key are none"),
        ({"member": "0" * 16}, "not of this form"),
        ({"act": "crown"}, "second hand"),
        ({"act": "remove"}, "nobody removes himself"),
        ({"by": "00" * 31}, "64"),
    ],
)
def test_a_statement_on_persons_that_is_not_in_order_is_refused(change: dict[str, Any], why: str) -> None:
    public = OTHER.public_key().public_bytes_raw().hex()
    said = {"statement": persons.KIND, "act": "add", "roles": ["release"], "public_key": public, "by": "", "member": ME, "n": 0} | change
    told = {"statement": said, "own": OTHER.sign(rfc8785.dumps(said)).hex(), "hand": ""}
    with pytest.raises(wire.WireError, match=why):
        persons.fold([persons.countersign(told, KEY)], {ME: PUBLIC})


def test_a_lab_s_key_is_no_person_s() -> None:
    stated = persons.state("add", PUBLIC.public_bytes_raw().hex(), ["release"], ME, 0, KEY, None)
    with pytest.raises(wire.WireError, match="not the lab's"):
        persons.fold([persons.countersign(stated, KEY)], {ME: PUBLIC})

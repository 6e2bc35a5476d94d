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
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire import vocabulary
from tests.share.hub.samples import TODAY, answer_release, campaign_release
from tests.share.release.test_door import CAMPAIGN

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
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

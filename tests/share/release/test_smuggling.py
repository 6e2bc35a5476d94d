"""Forbidden content, in every field of every document and of every STIX object, in many disguises: none gets through, to the outside or from it."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import stillwatch.share.release as door
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire import vocabulary
from tests.share.release.test_door import CAMPAIGN, DRAFT, TODAY, release

FORBIDDEN = {
    "price": "our discount is 35 % at $0.40",
    "volume": "4200000 requests in November",
    "customer": "Muster AG, account acct-88321",
    "prompt": "You are a careful grader. Explain your hidden reasoning step by step",
    "secret": "sk-live-9f8e7d6c5b4a39281706",
    "plan": "our next model ships on 3 March",
    "refusal": "do not serve this customer",
    "locale": "country=XX language=yy tz=UTC+8",
}
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ME = wire.key_id(KEY.public_key())
POLICY = door.Policy(ME)


def disguises(text: str) -> Iterator[Any]:
    yield text
    yield text.translate(str.maketrans("aeopc", "\u0430\u0435\u043e\u0440\u0441"))  # Cyrillic homoglyphs
    yield "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)  # full width
    yield "\u200b".join(text)
    yield base64.b64encode(text.encode()).decode()
    yield base64.b32encode(text.encode()).decode()
    yield text.encode().hex()
    yield int.from_bytes(text.encode()[:7], "big")
    yield int.from_bytes(text.encode(), "big")
    yield float(int.from_bytes(text.encode()[:6], "big"))
    yield [ord(c) for c in text[:20]]
    yield {"note": text}
    yield [text]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every leaf and container of a JSON value."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for k, v in items:
        yield from places(v, (*at, k))


def put(value: Any, at: tuple[Any, ...], what: Any) -> Any:
    out = copy.deepcopy(value)
    if not at:
        return what
    inner = out
    for k in at[:-1]:
        inner = inner[k]
    inner[at[-1]] = what
    return out


def smuggled(value: Any, text: str) -> Iterator[tuple[str, Any]]:
    """``value`` with the text in place of every part, behind every string, and in an added field or element of every container."""
    for at in places(value):
        inner = value
        for k in at:
            inner = inner[k]
        for what in disguises(text):
            yield f"{at}", put(value, at, what)
            if isinstance(inner, str) and isinstance(what, str):
                yield f"{at} appended", put(value, at, inner + what)
            if isinstance(inner, dict):
                yield f"{at} added", put(value, at, {**inner, "x_note": what})
                if isinstance(what, str):
                    yield f"{at} key", put(value, at, {**inner, what[:60]: 1})
            if isinstance(inner, list):
                yield f"{at} element", put(value, at, [*inner, what])


def documents() -> list[dict[str, Any]]:
    days = (date(2026, 11, 1), date(2026, 11, 20))
    mine = release(replace(DRAFT, networks=(door.Network("hosting", "AS112"), door.Network("proxy-pool", "192.31.196.0/24"))), POLICY)
    of = mine.id
    more = [
        release(door.Draft(of, ledger="x"), POLICY, answer="sighting", value="seen", days=days),
        release(door.Draft(of, ledger="x"), POLICY, answer="opinion", value="agree"),
        release(door.Draft(of, ledger="x"), POLICY, answer="retraction", value="error"),
        release(door.Draft(door.Statistic("D11", dict.fromkeys("abcde", 10), date(2026, 1, 1)), ledger="x"), POLICY),
        release(
            door.Draft(door.Batch("payment", "2026q4", 3, 0, 1, 0), ledger="x"), POLICY, tokens=[door.Token("0" * 32, "1" * 64, "2" * 96)]
        ),
    ]
    return [json.loads(m.canonical) for m in (mine, *more)]


def test_no_document_takes_forbidden_content(record_property: Any) -> None:
    tried = 0
    for document in documents():
        assert door.reopen(document)
        for text in FORBIDDEN.values():
            for where, changed in smuggled(document, text):
                tried += 1
                if changed == document:
                    continue
                with pytest.raises((door.DocumentError, TypeError, ValueError)):
                    door.reopen(changed)
                    pytest.fail(f"{where}: {text}")
    record_property("tried", tried)
    print(f"{tried:,} documents with forbidden content refused")
    assert tried > 25_000


@pytest.mark.no_cover
@pytest.mark.slow
def test_no_object_takes_forbidden_content_even_signed(record_property: Any) -> None:
    days = (date(2026, 11, 1), date(2026, 11, 20))
    mine = release(replace(DRAFT, networks=(door.Network("proxy-pool", "192.31.196.0/24"),)), POLICY)
    back = release(door.Draft(mine.id, ledger="x"), POLICY, answer="retraction", value="error")
    seen = release(door.Draft(mine.id, ledger="x"), POLICY, answer="sighting", value="not-seen", days=days)
    objects = {o["type"] + o.get("relationship_type", ""): o for o in (*wire.objects(mine), *wire.objects(seen))}
    objects["revoked"] = wire.objects(mine, back)[0]
    tried = 0
    for o in objects.values():
        assert wire.examine(wire.sign(o, KEY), KEY.public_key())
        for text in list(FORBIDDEN.values())[:3]:
            for where, changed in smuggled(o, text):
                tried += 1
                if changed == o or not isinstance(changed, dict):
                    continue
                try:
                    signed = wire.sign(changed, KEY)
                except (TypeError, ValueError, AttributeError):
                    continue  # cannot even be signed
                with pytest.raises(wire.WireError):
                    wire.examine(signed, KEY.public_key())
                    pytest.fail(f"{o['type']} {where}: {text}")
    record_property("tried", tried)
    print(f"{tried:,} objects with forbidden content refused")
    assert tried > 15_000


def test_the_signature_carries_nothing_beside_itself() -> None:
    o = wire.sign(wire.objects(release(policy=POLICY))[0], KEY)
    for extra in (
        {"note": "x"},
        {"alg": "none"},
        {"value": "AB" * 64},
        {"value": o["extensions"][vocabulary.SIGNATURE]["value"] + "00"},
        {"key": "0" * 16},
    ):
        changed = copy.deepcopy(o)
        changed["extensions"][vocabulary.SIGNATURE] |= extra
        with pytest.raises(wire.WireError):
            wire.examine(changed, KEY.public_key())


@pytest.mark.parametrize(
    "value",
    ["198.51.100.7/32", "198.51.100.1/24", "0.0.0.0/0", "10.0.0.0/7", "2001:db8::1/128", "AS0", "AS01", "AS4294967296", "AS64496 our price", "AS64496\n", "1.2.3/24",
     "10.0.0.0/8", "127.0.0.0/8", "172.0.0.0/8", "172.16.0.0/12", "192.168.1.0/24", "169.254.0.0/16", "100.64.0.0/10", "100.0.0.0/8", "192.0.2.0/24",
     "198.51.100.0/24", "224.0.0.0/8", "240.0.0.0/8", "0.0.0.0/8", "fc00::/16", "fe80::/16", "ff00::/16", "2001:db8::/32", "2001::/16", "2002::/16", "::/16",
     "64:ff9b::/48", "AS23456", "AS64496", "AS64512", "AS65535", "AS65536", "AS131071", "AS4200000000", "AS4294967295"],
)  # fmt: skip
def test_networks_name_no_single_address_no_words_and_nothing_that_is_not_public(value: str) -> None:
    made = door.prepare(replace(DRAFT, networks=(door.Network("hosting", value),)), POLICY, TODAY)
    assert isinstance(made, door.Withheld)


def test_long_lists_and_far_days_are_refused() -> None:
    document = json.loads(release(policy=POLICY).canonical)
    many = [{"kind": "hosting", "value": f"AS{63000 + i}"} for i in range(100)]
    for changed in (
        put(document, ("networks",), many),
        put(document, ("first_day",), "2001-01-01"),
        put(document, ("stamp", "valid_until"), "2099-01-01"),
    ):
        with pytest.raises(door.DocumentError):
            door.reopen(changed)


def test_the_campaign_s_own_secrets_would_have_been_seen() -> None:
    """The corpus is no straw man: the evidence does hold what is forbidden."""
    assert "acct-secret" in str(CAMPAIGN)
    assert "visa-4711" in str(CAMPAIGN)

"""Batches for the tests of matching."""

from __future__ import annotations

import json
from datetime import date
from functools import lru_cache
from typing import Any

import stillwatch.share.release as door
from stillwatch.share.tokens import oprf, seal
from tests.share.hub.conftest import Exchange, Lab
from tests.share.hub.samples import TODAY

SEED, EPOCH = b"\xa3" * 32, "2026q4"


def public(trait: str = "payment") -> str:
    return oprf.derive_key(SEED, f"{trait}|{EPOCH}".encode(), oprf.VOPRF)[1].hex()


def outputs(values: list[str], trait: str = "payment") -> list[bytes]:
    return [output(v, trait) for v in values] if len(values) < 3 else _outputs(values, trait)


@lru_cache
def output(value: str, trait: str) -> bytes:
    return _outputs([value], trait)[0]


def _outputs(values: list[str], trait: str) -> list[bytes]:
    secret, _ = oprf.derive_key(SEED, f"{trait}|{EPOCH}".encode(), oprf.VOPRF)
    items = [seal.oprf_input(trait, v) for v in values]
    blinds, blinded = oprf.blind(items)
    return oprf.finalize(items, blinds, oprf.evaluate(secret, blinded))


def tag_of(value: str) -> str:
    return seal.seal(outputs([value])[0], "0" * 16, 2, seal.Context(seal.SUSPICION, TODAY, TODAY), "payment", EPOCH).tag


def released(lab: Lab, number: int = 0) -> seal.Context:
    """The context of a campaign of the lab's; it counts once the campaign is at the hub."""
    release = lab.release(number)
    document = release.document
    assert isinstance(document, door.Campaign)
    return seal.Context(release.id, date.fromisoformat(document.first_day), date.fromisoformat(document.last_day))


def tokens(lab: Lab, values: list[str], quorum: int = 3, context: seal.Context | None = None, today: date = TODAY) -> list[door.Token]:
    context = context or seal.Context(seal.SUSPICION, today, today)
    return [seal.seal(t, lab.id, quorum, context, "payment", EPOCH) for t in outputs(values)]


def garbage(lab: Lab, value: str) -> door.Token:
    """The right tag with a share that fits nothing."""
    good = tokens(lab, [value])[0]
    return door.Token(good.tag, "00" * 31 + "01", good.sealed)


def signed(
    lab: Lab, some: list[door.Token], quorum: int = 3, holder: str | None = None, epoch: str = EPOCH, today: date = TODAY, pad: bool = True
) -> Any:
    fill = seal.padding(len(some)) if pad else []
    draft = door.Draft(door.Batch("payment", epoch, 5, 0, len(some), 0), ledger="x")
    made = door.prepare(draft, door.Policy(lab.id), today, tokens=[*some, *fill])
    assert isinstance(made, door.Release), made
    return seal.sign_batch(made, lab.key, holder or seal.key_digest(public()), quorum)


def batch(lab: Lab, values: list[str], quorum: int = 3, context: seal.Context | None = None, today: date = TODAY) -> Any:
    return signed(lab, tokens(lab, values, quorum, context, today), quorum, today=today)


def send(t: Any, lab: Lab, body: Any) -> Any:
    return t.post("/hub/tokens/", headers=lab.headers, content=json.dumps(body))


def withdraw(t: Any, lab: Lab, values: list[str]) -> Any:
    return t.post("/hub/tokens/withdraw/", headers=lab.headers, content=json.dumps({"tags": [tag_of(v) for v in values]}))


def told(t: Any, lab: Lab, after: int = 0) -> dict[str, dict[str, Any]]:
    """The newest answer by tag."""
    answer = t.get(f"/hub/answers/?after={after}", headers=lab.headers)
    assert answer.status_code == 200, answer.text
    return {a["tag"]: {k: v for k, v in a.items() if k not in ("seq", "tag", "trait", "epoch")} for a in answer.json()["answers"]}


def push(t: Any, exchange: Exchange, lab: Lab, objects: list[dict[str, Any]]) -> None:
    answer = t.post(f"/api/collections/{exchange.collection}/objects/", headers=lab.headers, content=json.dumps({"objects": objects}))
    assert answer.status_code == 202
    assert answer.json()["failure_count"] == 0, answer.text

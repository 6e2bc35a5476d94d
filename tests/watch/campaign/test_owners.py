"""Known relations: who says openly whom he belongs to speaks with one voice."""

from __future__ import annotations

import pyarrow as pa

from stillwatch.records import ACCOUNTS
from stillwatch.watch.campaign import owners


def run(records: list[dict[str, object]], places: dict[str, str] | None = None) -> dict[str, str]:
    ids = [str(r["account"]) for r in records]
    n = len(ids)
    activity = pa.table(
        {"account": ids, "calls": [1] * n, "first": [1.0] * n, "last": [1.0] * n, "org_ref": pa.nulls(n, pa.string()), "end_users": [1] * n}
    )
    where = places or {i: f"home of {i}" for i in ids}
    addresses = pa.table({"account": list(where), "address_ref": list(where.values())})
    table, joined = owners(activity, pa.Table.from_pylist(records, schema=ACCOUNTS), addresses)
    relation = {str(r["account"]): str(r["relation"]) for r in joined}
    voices = table.column("owner").to_pylist()
    for (a, va), (b, vb) in zip(zip(relation, voices, strict=True), list(zip(relation, voices, strict=True))[1:], strict=False):
        assert (va == vb) <= (relation[a] == relation[b])
    return relation


def people(n: int, **fields: object) -> list[dict[str, object]]:
    return [{"account": f"a{i:02d}", "payment_ref": f"card {i}", "mail_domain_ref": "d", "verified": True, **fields} for i in range(n)]


def test_one_organisation_is_one_owner() -> None:
    assert set(run(people(4, org_ref="o")).values()) == {"organisation"}


def test_a_verified_payer_with_an_own_mail_domain_is_one_owner() -> None:
    assert set(run(people(4, payment_ref="one card")).values()) == {"payer"}


def test_a_shared_card_alone_declares_nobody() -> None:
    unverified = people(4, payment_ref="one card", verified=False)
    assert set(run(unverified).values()) == {""}
    several_cards_in_one_domain = [r | {"payment_ref": f"card {i % 2}"} for i, r in enumerate(people(4))]
    assert set(run(several_cards_in_one_domain).values()) == {""}


def test_a_campus_is_an_institution_and_a_webmail_domain_is_not() -> None:
    members = people(12, created_at=0.0)  # the log begins at 1
    campus = {str(r["account"]): f"hall {i % 2}" for i, r in enumerate(members)}
    assert set(run(members, campus).values()) == {"institution"}
    assert set(run(members).values()) == {""}
    assert set(run([r | {"verified": i % 2 == 0} for i, r in enumerate(members)], campus).values()) == {""}
    for unknown in ("verified", "created_at", "payment_ref"):  # an empty column acquits nobody
        assert set(run([r | {unknown: None} for r in members], campus).values()) == {""}


def cards(*codes: tuple[str | None, str | None]) -> list[object]:
    """The card of each account, of its (fingerprint, payment account reference)."""
    records = [{"account": f"a{i:03d}", "payment_ref": p, "par_ref": r} for i, (p, r) in enumerate(codes)]
    n = len(records)
    activity = pa.table(
        {
            "account": [r["account"] for r in records],
            "calls": [1] * n,
            "first": [1.0] * n,
            "last": [1.0] * n,
            "org_ref": pa.nulls(n, pa.string()),
            "end_users": [1] * n,
        }
    )
    addresses = pa.table({"account": pa.array([], pa.string()), "address_ref": pa.array([], pa.string())})
    _, joined = owners(activity, pa.Table.from_pylist(records, schema=ACCOUNTS), addresses)
    return [r["card"] for r in joined]


def test_an_equal_fingerprint_or_an_equal_reference_is_one_card() -> None:
    a, b, c, d, e, f = cards(("f1", "r1"), ("f2", "r1"), ("f2", None), (None, "r1"), ("f3", "r3"), (None, None))
    assert a == b == c == d != e and f is None
    a, b, c = cards(("f1", None), ("f2", "r2"), ("f2", "r3"))
    assert a != b == c
    assert cards(("f1", None), ("f1", None), (None, None)) == ["f1", "f1", None]  # without references nothing changes


def test_a_fingerprint_beside_many_references_is_no_card() -> None:
    found = cards(*[("visa", f"r{i}") for i in range(50)], ("visa", "r7"))
    assert len(set(found)) == 50 and found[-1] == found[7]


def test_the_order_of_accounts_does_not_say_which_card_is_one() -> None:
    codes = [("f1", "r1"), ("f2", "r1"), ("f2", "r2"), ("f3", "r2"), (None, "r9"), ("f9", None)]
    assert cards(*codes) == cards(*reversed(codes))[::-1]


def test_a_card_with_two_fingerprints_pays_for_one_owner() -> None:
    assert set(run([r | {"payment_ref": f"f{i}", "par_ref": "r"} for i, r in enumerate(people(4))]).values()) == {"payer"}

"""Keyed references, the key file, the accounts file and the quarantine file."""

from __future__ import annotations

import doctest
import json
import stat
from pathlib import Path

import pytest

from stillwatch.watch.intake import (
    Identity,
    IntakeError,
    Quarantine,
    clock,
    identity,
    load_or_create_key,
    mail_shape,
    parameters,
    withheld,
)
from stillwatch.watch.intake.formats import copytext

KEY = bytes(range(32))


@pytest.mark.parametrize("module", [identity, clock, parameters, withheld, copytext])
def test_doctests(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted and not result.failed


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "key"
    key = load_or_create_key(path)
    assert len(key) == 32 and load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and [p.name for p in path.parent.iterdir()] == ["key"]
    path.chmod(0o640)
    with pytest.raises(IntakeError, match="chmod 600"):
        load_or_create_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(IntakeError, match="32 bytes"):
        load_or_create_key(path)


def test_references() -> None:
    a, b = Identity(KEY), Identity(bytes(32))
    assert a.ref("org", "x") == a.ref("org", " x ") != a.ref("payment", "x") and a.ref("org", "x") != b.ref("org", "x")
    assert len(a.ref("org", "x") or "") == 32 and a.ref("org", " ") is None and a.ref("org", None) is None
    assert a.mail(" Jane@X.example ") == a.mail("jane@x.example") != a.mail("jane+t@x.example")
    assert a.mail("nobody")[1:] == (None, None) and a.mail(None) == (None, None, None)
    assert a.account("u-1") == "u-1" and a.account("J@x.example") == a.account("j@x.example") and a.account(" ") is None
    assert a.account("None") is None and a.account("null") is None and a.account("nullius") == "nullius"
    assert KEY.hex() not in repr(a) and str(KEY) not in repr(a)


def test_addresses() -> None:
    a = Identity(KEY)
    same = a.address("1.2.3.4")
    assert (
        same == a.address("1.2.3.4:99") == a.address("::ffff:1.2.3.4") == a.address("[::ffff:1.2.3.4]:99") == a.address("64:ff9b::102:304")
    )
    assert same != a.address("1.2.3.5")
    assert a.address("fe80::1%eth0") == a.address("fe80::1")
    assert {a.address(v) for v in ("", "unknown", "1.2.3", "host:80", "[", "999.1.1.1", "\0", "a:b:c", ",", "for=unknown")} == {None}


def test_an_ipv6_address_counts_by_its_64() -> None:
    a = Identity(KEY)
    assert a.address("2001:db8:1:2::1") == a.address("[2001:db8:1:2:ffff::9]:443") != a.address("2001:db8:1:3::1")


@pytest.mark.parametrize(
    ("proxies", "chain", "counts"),
    [
        (None, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (None, "6.6.6.6, 203.0.113.7, 10.0.0.3", "203.0.113.7"),
        (None, "10.1.1.1, 10.0.0.3", "10.0.0.3"),
        (None, "6.6.6.6, unknown", None),
        (None, 'for=6.6.6.6, for="203.0.113.7:80";proto=https', "203.0.113.7"),
        (1, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (2, "6.6.6.6, 203.0.113.7, 198.51.100.1", "203.0.113.7"),
        (2, "203.0.113.7", "203.0.113.7"),
        (1, "203.0.113.7", "203.0.113.7"),
        (("198.51.100.0/24", "10.0.0.0/8"), "6.6.6.6, 203.0.113.7, 198.51.100.1, 10.2.3.4", "203.0.113.7"),
        (("10.0.0.0/8",), "10.5.5.5, 10.2.3.4", "10.5.5.5"),
        (("10.0.0.0/8",), "6.6.6.6, what, 10.2.3.4", None),
    ],
)
def test_of_a_chain_the_hop_counts_that_no_client_wrote(proxies: object, chain: str, counts: str | None) -> None:
    a = Identity(KEY, trusted_proxies=proxies)  # type: ignore[arg-type]
    assert a.address(chain) == (counts and Identity(KEY).address(counts))
    if "6.6.6.6" in chain:
        assert a.address(chain.replace("6.6.6.6", "9.9.9.9, 8.8.8.8")) == a.address(chain)


@pytest.mark.parametrize("proxies", [-1, ("10.0.0.0/99",), ("all",)])
def test_odd_proxies_are_refused(proxies: object) -> None:
    with pytest.raises(ValueError):
        Identity(KEY, trusted_proxies=proxies)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "shape"),
    [
        ("b371557", "a196"),
        ("25363e069", "x9"),
        ("7aa0d9314", "x9"),
        ("a1b2" * 20, "x+"),
        ("x" * 12, "a+"),
        ("", ""),
        ("a!b", "a1?a1"),
        ("über-3", "a4-91"),
    ],
)
def test_mail_shape(local: str, shape: str) -> None:
    assert mail_shape(local) == shape


def test_quarantine_file_appears_on_close_only(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    with Quarantine(path) as quarantine:
        quarantine.add("f", 3, "id", "missing", raw=b'{"messages": "SECRET"}', offset=7)
        assert not path.exists()
    [entry] = map(json.loads, path.read_text().splitlines())
    assert entry.keys() == {"file", "line", "field", "reason", "excerpt"} and "SECRET" not in path.read_text()
    assert quarantine.count == 1 and quarantine.by_reason == {"id: missing": 1}
    with pytest.raises(RuntimeError), Quarantine(path) as quarantine:
        raise RuntimeError
    assert path.read_text().count("\n") == 1

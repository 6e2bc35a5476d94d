"""An analyst's bundle on its way to the door: networks and marking come along, everything else stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.share.desk.analyst import read_bundle
from stillwatch.share.desk.desk import DeskError
from stillwatch.share.wire.vocabulary import TLP
from tests.share.desk.labs import desk_at
from tests.share.hub.samples import TODAY

SECRET = "ACME's contract, 9.9M$, jane@acme.example"


def exported(*more: Any, marking: Any = stix2.TLP_AMBER) -> str:
    """A bundle as an analyst's platform exports it, made by the standard's own library."""

    def indicator(pattern: str, **values: Any) -> Any:
        base = {"name": SECRET, "description": SECRET, "pattern_type": "stix", "valid_from": "2026-11-01T00:00:00Z"}
        return stix2.Indicator(pattern=pattern, object_marking_refs=[marking], **{**base, **values})

    who = stix2.Identity(name="Jane Analyst", identity_class="individual")
    return str(
        stix2.Bundle(
            who,
            indicator("[ipv4-addr:value ISSUBSET '192.31.196.0/24']", labels=["proxy-pool"]),
            indicator("[autonomous-system:number = 112]", indicator_types=["anonymization"]),
            indicator("[ipv6-addr:value = '2620:4f:8000::/48']"),
            indicator("[ipv4-addr:value = '192.31.196.7/32']"),
            indicator("[ipv4-addr:value ISSUBSET '10.0.0.0/8']"),
            indicator("[email-addr:value = 'jane@acme.example']"),
            indicator("[ipv4-addr:value ISSUBSET '192.175.48.0/24']", revoked=True),
            indicator("[ipv4-addr:value ISSUBSET '192.175.48.0/24']", valid_until="2026-11-20T00:00:00Z"),
            stix2.Report(name=SECRET, published="2026-11-01T00:00:00Z", object_refs=[who.id]),
            *more,
        ).serialize()
    )


def test_networks_and_the_narrowest_marking_are_read_and_everything_else_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(exported())
    brought = read_bundle(path, TODAY)
    assert brought.networks == (("anonymisation", "AS112"), ("hosting", "2620:4f:8000::/48"), ("proxy-pool", "192.31.196.0/24"))
    assert brought.tlp == "amber"
    stays = dict(brought.stays)
    assert stays["identity"] == stays["report"] == 1
    assert stays["indicator: revoked or expired"] == 2
    assert stays["indicator: names something else than one network"] == 1
    assert sum(n for what, n in stays.items() if "prefix must be" in what or "public internet" in what) == 2
    assert not [what for what in stays if "ACME" in what]
    path.write_text(exported().replace(stix2.TLP_AMBER.id, TLP["amber+strict"]))
    assert read_bundle(path, TODAY).tlp == "amber+strict"
    twice = stix2.Indicator(
        name="x",
        pattern="[ipv4-addr:value ISSUBSET '192.31.196.0/24']",
        pattern_type="stix",
        valid_from="2026-11-01T00:00:00Z",
        labels=["hosting"],
    )
    path.write_text(exported(twice))
    assert dict(read_bundle(path, TODAY).stays)["indicator: the same network as another kind"] == 1
    path.write_text("{")
    with pytest.raises(DeskError, match="not JSON"):
        read_bundle(path, TODAY)
    path.write_text(exported(marking=stix2.TLP_RED))
    with pytest.raises(DeskError, match="TLP:RED"):
        read_bundle(path, TODAY)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=8), x, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_in_a_bundle_it_is_read_or_refused_with_words(tmp_path_factory: pytest.TempPathFactory, junk: Any) -> None:
    path = tmp_path_factory.mktemp("junk") / "b.json"
    for told in (
        junk,
        {"type": "bundle", "objects": junk},
        {
            "type": "bundle",
            "objects": [junk, {"type": "indicator", "pattern_type": "stix", "pattern": junk, "labels": junk, "object_marking_refs": junk}],
        },
    ):
        path.write_text(json.dumps(told))
        try:
            assert read_bundle(path, TODAY).networks == ()
        except DeskError as error:
            assert str(path) in str(error)


def test_an_imported_bundle_needs_evidence_of_one_s_own_and_goes_through_the_door(tmp_path: Path) -> None:
    desk = desk_at(tmp_path / "desk")
    bundle = tmp_path / "b.json"
    bundle.write_text(exported())
    done = CliRunner().invoke(
        app, ["release", "import", str(bundle), "c-", "--desk", str(desk.folder), "--found", str(tmp_path / "nothing")]
    )
    assert done.exit_code == 2
    assert "not there" in done.output.replace("\n", " ")

"""An analyst's STIX 2.1 bundle, as OpenCTI or MISP export one, on its way to the door: what of it a release can say.

Nothing of a bundle travels as it is.  Networks and the marking are read off it and go through ``prepare`` beside a campaign of one's own; names, descriptions,
reports, observables and identities stay, and are counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from stillwatch.share.desk.desk import DeskError
from stillwatch.share.release import DocumentError, check_network
from stillwatch.share.wire.vocabulary import INFRASTRUCTURE, TLP

_PATTERN: Final = re.compile(
    r"\[\s*(?:(ipv[46])-addr:value\s*(?:ISSUBSET|=)\s*'([0-9a-fA-F:.]+/[0-9]{1,3})'|autonomous-system:number\s*=\s*([0-9]{1,10}))\s*\]"
)
#: TLP 1.0 (STIX 2.1, 7.2.1.4) and TLP 2.0 markings, from the widest.
_MARKINGS: Final[Mapping[str, str]] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
    **{ident: name for name, ident in TLP.items()},
}
_ORDER: Final = ("clear", "green", "amber", "amber+strict", "red")
#: The largest bundle that is read.
_MOST: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Brought:
    """What a bundle brings: networks as (kind, value), the narrowest marking ("" for none), and what stays, by kind of object and why."""

    networks: tuple[tuple[str, str], ...]
    tlp: str
    stays: tuple[tuple[str, int], ...]


def read_bundle(path: Path, today: date) -> Brought:
    """Read what a release can say off a STIX 2.1 bundle.

    Raises:
        DeskError: it is none, or is marked TLP:RED, which does not leave.
    """
    try:
        if path.stat().st_size > _MOST:
            raise DeskError(f"{path}: larger than {_MOST >> 20} MiB; export less at a time")
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DeskError(f"{path}: not JSON ({str(error)[:100]})") from None
    given = told.get("objects") if isinstance(told, dict) and told.get("type") == "bundle" else None
    if not isinstance(given, list):
        raise DeskError(f"{path}: not a STIX bundle: an object with type bundle and a list of objects")
    networks: dict[str, str] = {}
    stays: Counter[str] = Counter()
    marked = ""
    for o in given:
        if not isinstance(o, dict) or not isinstance(o.get("type"), str):
            stays["no object"] += 1
            continue
        for ref in _texts(o.get("object_marking_refs")):
            name = _MARKINGS.get(ref, "")
            marked = max(marked, name, key=lambda n: _ORDER.index(n) if n else -1)
        kind, value, why = _network(o, today)
        if why:
            stays[why] += 1
        elif networks.setdefault(value, kind) != kind:
            stays["indicator: the same network as another kind"] += 1
    if marked == "red":
        raise DeskError(f"{path}: marked TLP:RED; it may not leave this desk")
    return Brought(tuple(sorted((k, v) for v, k in networks.items())), marked, tuple(sorted(stays.items())))


def _texts(given: object) -> list[str]:
    return [x for x in given if isinstance(x, str)] if isinstance(given, list) else []


def _network(o: Mapping[str, Any], today: date) -> tuple[str, str, str]:
    """(kind, value, "") of an object that names a network, or why it stays."""
    what = str(o["type"])[:40]
    if what != "indicator":
        return "", "", what
    if o.get("pattern_type") != "stix" or not isinstance(o.get("pattern"), str):
        return "", "", "indicator: of another pattern language"
    if o.get("revoked") or str(o.get("valid_until", "9999"))[:10] <= today.isoformat():
        return "", "", "indicator: revoked or expired"
    found = _PATTERN.fullmatch(o["pattern"].strip())
    if found is None:
        return "", "", "indicator: names something else than one network"
    value = f"AS{int(found[3])}" if found[3] else found[2].lower()
    labels = _texts(o.get("labels")) + _texts(o.get("indicator_types"))
    kind = next((x for x in labels if x in INFRASTRUCTURE), "anonymisation" if "anonymization" in labels else "hosting")
    try:
        check_network(value)
    except DocumentError as error:
        return "", "", f"indicator: {error}"
    return kind, value, ""

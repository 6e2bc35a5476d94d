"""Names and objects that are the same everywhere: extensions, TLP 2.0 markings, ATLAS techniques."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import uuid5

from stillwatch.share.release.document import NAMESPACE

Object = dict[str, Any]

#: Our property extensions: what a release says, who approved it, and the producer's signature.
RELEASE: Final = f"extension-definition--{uuid5(NAMESPACE, 'release-1')}"
APPROVAL: Final = f"extension-definition--{uuid5(NAMESPACE, 'approval-1')}"
SIGNATURE: Final = f"extension-definition--{uuid5(NAMESPACE, 'signature-1')}"
#: Who defines the extensions.
PROJECT: Final = f"identity--{uuid5(NAMESPACE, 'stillwatch')}"
#: Time of objects that never change.
EPOCH: Final = "2026-11-01T00:00:00.000Z"

#: TLP 2.0 (OASIS, extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d).
_TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP: Final = {
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
}
#: MITRE ATLAS 5.6.1 techniques by id: STIX id and name.
ATLAS: Final = {
    "AML.T0024.002": ("attack-pattern--3f567912-629a-5e0b-ab0c-0102977c2d6c", "Extract AI Model"),
    "AML.T0040": ("attack-pattern--5ac1f849-523e-51bf-a1e9-1a97ab91cc91", "AI Model Inference API Access"),
    "AML.T0021": ("attack-pattern--d3d7763a-58e1-5e38-84fd-3abea967cb08", "Establish Accounts"),
    "AML.T0008.005": ("attack-pattern--647ac4ac-b2bc-53f7-ab83-81f421a1f0b5", "AI Service Proxies"),
    "AML.T0065": ("attack-pattern--6e148299-0460-5d0b-9741-467437464d3d", "LLM Prompt Crafting"),
    "AML.T0012": ("attack-pattern--ed66b442-059b-54cb-a806-620e6f8109a6", "Valid Accounts"),
}
ALWAYS: Final = ("AML.T0024.002", "AML.T0040")
TO_ATLAS: Final = {
    "D01": "AML.T0021",
    "D03": "AML.T0021",
    "D10": "AML.T0021",
    "D02": "AML.T0012",
    "D04": "AML.T0008.005",
    "D05": "AML.T0008.005",
    **dict.fromkeys(("D11", "D12", "D13", "D14", "D16", "D17", "D18", "D19", "D27"), "AML.T0065"),
}
INFRASTRUCTURE: Final = {"proxy-pool": "anonymization", "hosting": "unknown", "anonymisation": "anonymization", "reseller": "unknown"}


@lru_cache(maxsize=1)
def constants() -> Mapping[str, Object]:
    """Objects that are the same everywhere, by id: markings, extensions, ATLAS techniques, who defines them.  They need no signature."""
    out: list[Object] = [
        {
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": ident,
            "created": "2022-10-01T00:00:00.000Z",
            "name": f"TLP:{name.upper()}",
            "extensions": {_TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": name}},
        }
        for name, ident in TLP.items()
    ]
    out.append(
        {
            "type": "identity",
            "spec_version": "2.1",
            "id": PROJECT,
            "created": EPOCH,
            "modified": EPOCH,
            "name": "Stillwatch",
            "identity_class": "organization",
        }
    )
    for ident, name, what in (
        (RELEASE, "Stillwatch release", "release-1.schema.json, shipped with the package stillwatch"),
        (
            APPROVAL,
            "Stillwatch approval",
            "Ed25519 by named persons of the producer over the digest of each document that the object carries; digest, role, key: fingerprint, value: hex",
        ),
        (
            SIGNATURE,
            "Stillwatch signature",
            "Ed25519 over the RFC 8785 form of the object without this extension; key: fingerprint, value: hex",
        ),
    ):
        out.append(
            {
                "type": "extension-definition",
                "spec_version": "2.1",
                "id": ident,
                "created_by_ref": PROJECT,
                "created": EPOCH,
                "modified": EPOCH,
                "name": name,
                "schema": what,
                "version": "1.0.0",
                "extension_types": ["property-extension"],
            }
        )
    for atlas, (ident, name) in ATLAS.items():
        reference = {"source_name": "mitre-atlas", "external_id": atlas, "url": f"https://atlas.mitre.org/techniques/{atlas}"}
        out.append(
            {
                "type": "attack-pattern",
                "spec_version": "2.1",
                "id": ident,
                "created_by_ref": PROJECT,
                "created": EPOCH,
                "modified": EPOCH,
                "name": name,
                "external_references": [reference],
            }
        )
    return {o["id"]: o for o in out}

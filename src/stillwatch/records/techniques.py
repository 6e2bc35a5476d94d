"""The technique vocabulary D01-D27 that findings use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique of the vocabulary."""

    id: str
    group: str
    name: str


_GROUPS: Final = {
    "access": {
        "D01": "account farm",
        "D02": "stolen key",
        "D03": "abuse of an education, research or start-up programme",
        "D04": "relay pool (transfer station)",
        "D05": "shell-company gateway",
        "D06": "load balancing with disjoint slices of one work list",
        "D07": "camouflage by mixing",
        "D08": "several access paths with failover",
        "D09": "metadata sanitising",
        "D10": "replacement after a ban",
    },
    "extraction": {
        "D11": "fixed injected wrapper that asks for the reasoning",
        "D12": "rationale asked for a completed answer",
        "D13": "coercion by language, translation or encoding",
        "D14": "replay of reasoning signatures or edited contexts",
        "D15": "sweep of techniques",
    },
    "data engineering": {
        "D16": "use as a judge or reward model",
        "D17": "cleaning of captured traces",
        "D18": "synthesis of tasks or training environments",
        "D19": "censorship-safe rewriting",
    },
    "indirect acquisition": {
        "D20": "live relay of the harvester's own users",
        "D21": "store-then-replay of own users' sessions",
        "D22": "bought transcripts",
    },
    "adaptation": {
        "D23": "model-identity override",
        "D24": "day-one pivot to a new model",
        "D25": "harness that detects countermeasures",
        "D26": "shopping for the weakest-guarded lab",
        "D27": "reconstruction of reasoning from answers alone",
    },
}

#: Technique by id, in order.
TECHNIQUES: Final = {i: Technique(i, g, n) for g, names in _GROUPS.items() for i, n in names.items()}

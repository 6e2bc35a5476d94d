"""Slices: do several accounts work through the same items, as a benchmark's users and a course do?"""

from __future__ import annotations

from typing import Final

import numpy as np

from stillwatch.watch.campaign.classes.base import Finding, Group

#: Repetition across owners speaks against a harvest, but not without end: harvesters sample an item several times too.
REPEAT_FLOOR: Final = -40.0


def slices_bits(repeated: int, calls: int) -> float:
    """Bits for *disjoint slices of one list* against *each works through the same list*; 0 at most.

    A harvest repeats an item with many owners only after a failure (2 % allowed); people who run one public list repeat most of it, and 30 % is already
    generous to the prosecution.  That items differ is what any tool's users show, so it earns nothing: this is a gate.

    Args:
        repeated: calls whose text a fair share of the owners sent (see ``link.streams``): two accounts that share items on purpose are no such share.
        calls: calls with a text.
    """
    log_ratio = repeated * np.log2(0.02 / 0.30) + (calls - repeated) * np.log2(0.98 / 0.70)
    return float(min(0.0, log_ratio))


def slices(group: Group) -> Finding:
    """The gate's finding."""
    calls, repeated = int(group.with_text.sum()), int(group.repeated.sum())
    text = f"Slices: {repeated} of {calls} calls with a text have one that several other owners sent too."
    if not calls:
        return Finding("slices", 0.0, "Slices: not assessed, no call has a text.", assessed=False, question="harvest")
    return Finding("slices", max(REPEAT_FLOOR, slices_bits(repeated, calls)), text, question="harvest")

"""The skeleton of a family: what its prompts have in common, and the slots between."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from stillwatch.records import Segment

#: A word of the reference text is fixed when this share of the other texts has it in the same place.
FIXED: Final = 0.8
#: Shortest run of words that counts as common.
RUN: Final = 3
_WORDS: Final = 1200
_TEXTS: Final = 16


def skeleton(texts: Sequence[str], *, show_text: bool) -> tuple[Segment, ...]:
    """Align texts of one family.

    Args:
        texts: clear texts; up to 16 of them and 1,200 words of each are compared.
        show_text: put the words of fixed runs into the segments; slots' fillings, which are a customer's own, are never shown.

    Returns:
        fixed runs and slots in order; empty for fewer than two texts.
    """
    words = [t.split()[:_WORDS] for t in texts[:_TEXTS] if t.strip()]
    if len(words) < 2:
        return ()
    reference = sorted(words, key=len)[len(words) // 2]
    others = [w for w in words if w is not reference]
    hits = [0] * len(reference)
    places: list[dict[int, int]] = []  # of each other text: reference position -> its own
    for other in others:
        place: dict[int, int] = {}
        for a, b, size in SequenceMatcher(None, reference, other, autojunk=False).get_matching_blocks():
            if size >= RUN:
                for i in range(size):
                    hits[a + i] += 1
                    place[a + i] = b + i
        places.append(place)
    fixed = [h >= FIXED * len(others) for h in hits]
    runs: list[tuple[int, int]] = []
    i = 0
    while i < len(fixed):
        if fixed[i]:
            end = i
            while end < len(fixed) and fixed[end]:
                end += 1
            if end - i >= RUN:
                runs.append((i, end))
            i = end
        else:
            i += 1
    out: list[Segment] = []
    before = 0
    for start, end in [*runs, (len(reference), len(reference))]:
        fillings = [reference[before:start]]
        for other, place in zip(others, places, strict=True):
            left = next((place[k] + 1 for k in range(before - 1, -1, -1) if k in place), 0) if before else 0
            right = next((place[k] for k in range(start, end) if k in place), len(other))
            fillings.append(other[left : max(left, right)])
        sizes = [len(f) for f in fillings]
        if any(sizes):
            distinct = len({tuple(f) for f in fillings}) / len(fillings)
            out.append(Segment(True, (min(sizes), int(statistics.median(sizes)), max(sizes)), round(distinct, 2)))
        if end > start:
            n = end - start
            out.append(Segment(False, (n, n, n), 0.0, " ".join(reference[start:end]) if show_text else None))
        before = end
    return tuple(out)

"""Marks of techniques: what is looked for is what the patterns say, however it is looked for."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.range import texts
from stillwatch.watch.sketch.content import _PATTERNS, marks

#: Each technique as one expression, without looking for cues first.
WHOLE = {k: re.compile("|".join(f"(?:{p})" for p in patterns), re.DOTALL) for k, patterns in _PATTERNS.items()}


def slowly(text: str) -> frozenset[str]:
    flat = " ".join(text.lower().split())
    return frozenset(k for k, p in WHOLE.items() if p.search(flat))


#: Runs of letters that the patterns are written with, and ends that may follow them.
PIECES = sorted({w for p in WHOLE.values() for w in re.findall(r"[a-z&0-9][a-z&0-9 ]*[a-z0-9]", p.pattern)})
ENDS = ["", "s", "ing", "ed", " ", ", ", ". ", "\n", " your ", " the ", " a few new ", "-", ">", "</"]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)), max_size=14))
def test_looking_for_cues_first_misses_nothing(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + end for word, end in parts)
    assert marks([("user", text)]) == slowly(text)


@pytest.mark.parametrize("technique", sorted(WHOLE))
def test_every_branch_of_a_pattern_can_be_reached_through_its_cues(technique: str) -> None:
    # Texts made from the pattern itself: whatever it matches, its cues let through.
    found = 0

    @settings(max_examples=60)
    @given(st.from_regex(WHOLE[technique]))
    def examine(text: str) -> None:
        nonlocal found
        flat = " ".join(text.lower().split())
        if WHOLE[technique].search(flat) and len(text) <= 6000:
            found += 1
            assert technique in marks([("user", text)]), text

    examine()
    assert found > 20


@pytest.mark.parametrize("technique", ["D11", "D12", "D13", "D16", "D17", "D18", "D19", "D23"])
def test_the_ranges_own_wordings_show_the_same_marks_either_way(technique: str) -> None:
    rng = Random(7)
    for n in range(40):
        text = texts.harvest_template(technique, f"t{n}", n).replace("{x}", texts.task(rng, n))
        assert marks([("system", "Be brief."), ("user", text)]) == slowly("Be brief.\n" + text)

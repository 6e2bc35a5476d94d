"""Answers' prints against a twin made of the prompts' own, and against vectors that must never change."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kernel import TEXTS, prints, words

from stillwatch.records import CALLS
from stillwatch.watch.sketch import ECHO_RECIPE, sketch_batch
from stillwatch.watch.sketch.echo import KEPT, LEAST_WORDS

VECTORS = json.loads(Path(__file__).with_name("vectors-echo-1.json").read_text())
M = (1 << 64) - 1
RUN = st.lists(st.sampled_from(["red", "green", "blue", "one", "two", "three", "four", "five", "six", "seven"]), min_size=11, max_size=40)


def rows(*calls: dict[str, object]) -> pa.RecordBatch:
    plain = {"account": "a", "at": 1.0, "params": "{}", "roles": ["user"]}
    return pa.RecordBatch.from_pylist([{"call_id": f"c{i}", "segments": ["q"], **plain, **c} for i, c in enumerate(calls)], schema=CALLS)


def sketched(column: str, *texts: str | None) -> list[list[int] | None]:
    got = sketch_batch(rows(*({column: t} for t in texts)), 0).column(f"{column}_prints").to_pylist()
    return [None if row is None else [p & M for p in row] for row in got]


def twin(text: str) -> list[int]:
    return sorted(prints(text))[:KEPT] if len(words(text)) >= LEAST_WORDS else []


@given(st.lists(st.none() | TEXTS | RUN.map(" ".join), min_size=1, max_size=5))
def test_kernel_agrees_with_its_twin(texts: list[str | None]) -> None:
    expected = [None if t is None else twin(t) for t in texts]
    assert sketched("answer", *texts) == expected
    assert sketched("resent", *texts) == expected


@given(RUN, TEXTS, TEXTS)
def test_a_prompt_that_holds_an_answer_shows_its_prints(run: list[str], before: str, after: str) -> None:
    said = " ".join(run)
    batch = sketch_batch(rows({"answer": said}, {"segments": [f"{before} {said} {after}"]}), 0)
    answer, prompt = set(batch.column("answer_prints").to_pylist()[0]), set(batch.column("prints").to_pylist()[1])
    ends = {p - (1 << 64) if p >> 63 else p for text in (" ".join(run[:6]), " ".join(run[-6:])) for p in prints(text)}
    # The first and last six words are always kept of an answer, and of a prompt only where they stand out.
    assert answer - ends <= prompt
    assert answer & prompt


@given(RUN, RUN)
def test_what_an_answer_takes_over_from_its_prompt_is_not_its_own(asked: list[str], more: list[str]) -> None:
    prompt, said = " ".join(asked), " ".join(asked + more)
    got = sketch_batch(rows({"segments": [prompt], "answer": said}), 0).column("answer_prints").to_pylist()[0]
    assert [p & M for p in got] == sorted(prints(said) - prints(prompt))[:KEPT]


def test_a_long_answer_keeps_the_least() -> None:
    said = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600))
    (got,) = sketched("answer", said)
    assert got == twin(said) and len(got) == KEPT


def test_slices_of_a_batch_are_sketched_as_themselves() -> None:
    batch = rows(*({"answer": f"answer {i} with a few more words than ten of them so that it counts"} for i in range(4)))
    whole = sketch_batch(batch, 0).column("answer_prints").to_pylist()
    assert sketch_batch(batch.slice(1, 2), 0).column("answer_prints").to_pylist() == whole[1:3]


@pytest.mark.parametrize("case", VECTORS["vectors"], ids=lambda c: c["name"])
def test_vectors(case: dict[str, object]) -> None:
    assert VECTORS["recipe"] == ECHO_RECIPE
    assert sketched("answer", str(case["text"])) == [[int(str(p), 16) for p in case["prints"]]]  # type: ignore[attr-defined]

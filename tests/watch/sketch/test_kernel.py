"""The kernel against an obviously right twin, and against vectors that must never change."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.records import CALLS, SKETCHES
from stillwatch.watch.sketch import RECIPE, sketch_batch

VECTORS = Path(__file__).with_name("vectors-winnow-1.json")
M = (1 << 64) - 1
PRIME, OFFSET, BASE = 0x100000001B3, 0xCBF29CE484222325, 0x9E3779B97F4A7C15


def mix(h: int) -> int:
    h ^= h >> 30
    h = h * 0xBF58476D1CE4E5B9 & M
    h ^= h >> 27
    h = h * 0x94D049BB133111EB & M
    return h ^ (h >> 31)


def kind(c: str) -> str:
    p = ord(c)
    if p < 0x80:
        return "digit" if c.isdigit() else "letter" if c.isalpha() else "separator"
    if p < 0xC0:
        return "letter" if p in (0xAA, 0xB5, 0xBA) else "separator"
    wide = (
        (0xE00, 0xEFF),
        (0x1000, 0x109F),
        (0x1780, 0x17FF),
        (0x3040, 0x30FF),
        (0x31F0, 0x31FF),
        (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF),
        (0xF900, 0xFAFF),
    )
    if any(a <= p <= b for a, b in wide) or 0x20000 <= p <= 0x3FFFF:
        return "word"
    if 0x2000 <= p <= 0x206F or 0x3000 <= p <= 0x303F or 0xFE00 <= p <= 0xFE0F:
        return "separator"
    return "letter"


def words(text: str) -> list[str]:
    """Words by the recipe's own sentences, one character at a time."""
    if not text.isascii():
        # Arrow lower-cases code point by code point; Python's lower() knows context and special cases.
        text = "".join(c.lower() if len(c.lower()) == 1 else c for c in unicodedata.normalize("NFKC", text))
    out: list[str] = []
    word, last_digit = "", False
    for c in text:
        k = kind(c)
        if k in ("separator", "word"):
            if word:
                out.append(word)
            word = ""
            if k == "word":
                out.append(c)
        elif k == "digit":
            if not last_digit:
                word += "0"
        else:
            word += c.lower() if c.isascii() else c
        last_digit = k == "digit"
    return [*out, word] if word else out


def fnv(data: bytes) -> int:
    h = OFFSET
    for b in data:
        h = (h ^ b) * PRIME & M
    return h


def prints(text: str) -> set[int]:
    hashes = [mix(fnv(w.encode())) for w in words(text)]
    if not hashes:
        return set()
    if len(hashes) < 6:
        h = len(hashes)
        for w in hashes:
            h = (h * BASE + w) & M
        return {mix(h) or 1}
    grams = []
    for i in range(len(hashes) - 5):
        h = 0
        for w in hashes[i : i + 6]:
            h = (h * BASE + w) & M
        grams.append(mix(h) or 1)
    kept = {grams[0], grams[-1]}
    for i in range(len(grams) - 5):
        kept.add(min(grams[i : i + 6]))
    return kept


def batch(prompts: list[list[tuple[str, str]]]) -> pa.RecordBatch:
    rows = [
        {
            "call_id": f"c{i}",
            "account": "a",
            "at": 1.0,
            "roles": [r for r, _ in p],
            "segments": [t for _, t in p],
            "agent": "x",
            "params": "{}",
        }
        for i, p in enumerate(prompts)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=CALLS)


def sketched(*texts: str) -> list[set[int]]:
    out = sketch_batch(batch([[("user", t)] for t in texts]), 0)
    assert out.schema == SKETCHES
    return [{p & M for p in row} for row in out.column("prints").to_pylist()]


# Letters whose case or normal form changed between Unicode versions would test the tables of two libraries, not the kernel.
ALPHABET = st.sampled_from(list("abcXYZ 0123.,-\n\t") + list("éßÄñ日本語ไทย한글¿–…ＡＢ①"))
TEXTS = st.text(ALPHABET, max_size=300)


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_kernel_agrees_with_its_twin(texts: list[str]) -> None:
    assert sketched(*texts) == [prints(t) for t in texts]


@given(
    st.lists(st.sampled_from(["red", "green", "blue", "one", "two", "three", "four", "five", "six", "seven"]), min_size=11, max_size=30),
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
)
def test_any_shared_run_of_eleven_words_is_found(run: list[str], a: str, b: str, c: str, d: str) -> None:
    shared = " ".join(run)
    one, two = sketched(f"{a} {shared} {b}", f"{c} {shared} {d}")
    assert one & two


@given(TEXTS, TEXTS)
def test_a_template_of_six_words_at_either_end_is_found(a: str, b: str) -> None:
    one, two = sketched(f"please judge these two answers now. {a}", f"please judge these two answers now. {b}")
    assert one & two or not words(a) or not words(b)


def test_digits_and_case_are_folded_but_items_stay_apart() -> None:
    out = sketch_batch(batch([[("user", f"What is {n} times 12 if the SUM is known?")] for n in (7, 8)]), 0)
    first, second = out.column("prints").to_pylist()
    assert first == second
    assert out.column("text")[0] != out.column("text")[1]


def test_system_prompt_has_its_own_hash() -> None:
    out = sketch_batch(
        batch([[("system", "be brief"), ("user", "hello")], [("system", "be brief"), ("user", "bye")], [("user", "hello")]]), 0
    )
    system = out.column("system").to_pylist()
    assert system[0] == system[1] != 0
    assert system[2] == 0


def test_a_very_long_prompt_keeps_a_bounded_and_coherent_sketch() -> None:
    rng = np.random.default_rng(11)
    long = " ".join(f"w{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a, b, c in rng.integers(0, 26, (60_000, 3)))
    (one,) = sketched(long)
    (two,) = sketched(long + " and then a different ending altogether")
    assert len(one) == 512
    assert len(one & two) > 500


def test_slices_of_a_batch_are_sketched_as_themselves() -> None:
    whole = batch([[("user", f"text number {i} of a few words more")] for i in range(10)])
    part = sketch_batch(whole.slice(4, 3), 0)
    assert part.column("prints").to_pylist() == sketch_batch(whole, 0).column("prints").to_pylist()[4:7]


def test_empty_batches_and_empty_prompts() -> None:
    assert len(sketch_batch(batch([]), 0)) == 0
    out = sketch_batch(batch([[], [("user", "")], [("user", "...")]]), 0)
    assert out.column("prints").to_pylist() == [[], [], []]
    assert out.column("text").to_pylist() == [0, 0, 0]


@pytest.mark.parametrize("case", json.loads(VECTORS.read_text())["vectors"], ids=lambda c: c["name"])
def test_vectors(case: dict[str, object]) -> None:
    assert json.loads(VECTORS.read_text())["recipe"] == RECIPE
    assert sorted(sketched(str(case["text"]))[0]) == [int(str(p), 16) for p in case["prints"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_gives_the_same(seed: str) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_kernel import sketched; print(sorted(sketched('one two three four five six seven eight')[0]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
    )
    assert done.stdout.strip() == str(sorted(prints("one two three four five six seven eight")))

"""Arrow batches of calls -> Arrow batches of sketches, column by column."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.records import SKETCHES
from stillwatch.watch.sketch import kernel
from stillwatch.watch.sketch.echo import echo_prints

#: Name of the recipe; it stands in every family id and in run.json.
RECIPE: Final = "winnow-1"


def normalise(texts: pa.Array) -> pa.Array:
    """NFKC and simple lower case for the texts that are not ASCII; ASCII is folded in the kernel.

    Args:
        texts: large_string array.

    Returns:
        large_string array of the same length.
    """
    plain = pc.string_is_ascii(texts)
    if pc.all(plain).as_py() is not False:
        return texts
    folded = pc.utf8_lower(pc.utf8_normalize(pc.if_else(plain, "", texts), "NFKC"))
    return pc.if_else(plain, texts, folded)


def _bytes(array: pa.Array, offset_type: Any) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Data and offsets of a (large_)string array, offsets counted from its first row."""
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, offset_type)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8), ends


def hash_column(column: pa.Array) -> NDArray[np.int64]:
    """Stable 64-bit hash of each string (null counts as empty), as int64."""
    data, offsets = _bytes(pc.fill_null(column, "").cast(pa.large_string()), np.int64)
    out = np.empty(len(column), np.uint64)
    kernel.hash_strings(data, offsets, out)
    return out.view(np.int64)


def _mixed(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """One well-mixed hash of several for each row (the finaliser of SplitMix64, after each)."""
    h = np.ones(len(parts[0]), np.uint64)
    for part in parts:
        h = h + np.uint64(0x9E3779B97F4A7C15) ^ part.view(np.uint64)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h ^= h >> np.uint64(31)
    return h.view(np.int64)


def _withheld(segments: pa.Array, offsets: NDArray[np.int64], is_system: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[calls] whether an empty user segment says that the call's text is not known (see ``intake.messages``)."""
    empty = pc.equal(pc.binary_length(segments), 0).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(empty & ~is_system)
    out = np.zeros(len(offsets) - 1, bool)
    at = np.searchsorted(offsets, places, side="right") - 1
    out[at[(at >= 0) & (at < len(out))]] = True
    return out


def _hash_few(*columns: pa.Array) -> NDArray[np.int64]:
    """As ``hash_column`` of the columns joined, hashing each distinct combination once."""
    joined = pc.binary_join_element_wise(*[pc.fill_null(c, "").cast(pa.string()) for c in columns], "\x1f")
    coded = joined.dictionary_encode()
    hashes: NDArray[np.int64] = hash_column(coded.dictionary)[coded.indices.to_numpy()]
    return hashes


def _echo(texts: pa.Array, own: NDArray[np.uint64], own_offsets: NDArray[np.int64]) -> pa.Array:
    """Prints of answers; a log without any costs nothing."""
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), SKETCHES.field("answer_prints").type)
    return echo_prints(texts, *_bytes(normalise(pc.fill_null(texts, "")), np.int64), own, own_offsets)


def sketch_batch(calls: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """Sketch a batch of calls.

    Args:
        calls: rows of ``records.CALLS``.
        first: row number of its first call in the spool.

    Returns:
        rows of ``records.SKETCHES``, same order.
    """
    n = len(calls)
    lists = calls.column("segments")
    call_offsets = lists.offsets.to_numpy().astype(np.int64)
    texts = normalise(lists.values)
    data, seg_offsets = _bytes(texts, np.int64)
    roles = pc.equal(calls.column("roles").values, "system").to_numpy(zero_copy_only=False)

    # A slice of a list array keeps its parent's values: the offsets say which segments are ours, and only they are given room.
    lo, hi = (int(call_offsets[0]), int(call_offsets[-1])) if n else (0, 0)
    size = int(seg_offsets[hi] - seg_offsets[lo]) if n else 0
    prints = np.empty(size // 2 + 3 * (hi - lo) + 1, np.uint64)
    print_offsets = np.zeros(n + 1, np.int64)
    text, system, words = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.int32)
    used = kernel.sketch_calls(data, seg_offsets, call_offsets, roles, prints, print_offsets, text, system, words)

    text[_withheld(lists.values, call_offsets, roles)] = 0

    agent, params = calls.column("agent"), calls.column("params")
    tools = pc.fill_null(calls.column("tools"), "")
    columns = {
        "call": pa.array(np.arange(first, first + n)),
        # A client may choose its id and its text, but not its account and the gateway's clock.
        "order": pa.array(
            _mixed(
                hash_column(calls.column("call_id")),
                text.view(np.int64),
                _hash_few(calls.column("account")),
                calls.column("at").to_numpy().view(np.int64),
            )
        ),
        "client": pa.array(_hash_few(agent, calls.column("headers"), params)),
        "agent": pa.array(_hash_few(agent)),
        "system": pa.array(system.view(np.int64)),
        "tools": pa.array(np.where(pc.equal(tools, "").to_numpy(zero_copy_only=False), 0, _hash_few(tools))),
        "text": pa.array(text.view(np.int64)),
        "words": pa.array(words),
        "prints": pa.ListArray.from_arrays(pa.array(print_offsets.astype(np.int32)), pa.array(prints[:used].view(np.int64))),
        "answer_prints": _echo(calls.column("answer"), prints, print_offsets),
        "resent_prints": _echo(calls.column("resent"), prints[:0], np.zeros(n + 1, np.int64)),
    }
    return pa.RecordBatch.from_arrays([columns[f.name] if f.name in columns else calls.column(f.name) for f in SKETCHES], schema=SKETCHES)

"""Rows of ``records.CALLS`` on their way into an Arrow batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import pyarrow as pa

from stillwatch.records import CALLS

#: 2**53: whole numbers beyond it are no token counts.
_MOST_TOKENS: Final = 1 << 53


class Row(NamedTuple):
    """One call; the fields are those of ``records.CALLS``, in its order."""

    call_id: str
    account: str
    key: str | None
    at: float
    ended: float | None
    model: str | None
    call_type: str | None
    access_path: str | None
    status: str | None
    stream: bool | None
    org_ref: str | None
    mail_ref: str | None
    mail_domain_ref: str | None
    mail_shape: str | None
    address_ref: str | None
    end_user_ref: str | None
    agent: str | None
    headers: str | None
    params: str | None
    tools: str | None
    prompt_tokens: int | None
    reply_tokens: int | None
    roles: list[str]
    segments: list[str]
    answer: str | None = None
    resent: str | None = None


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Return the rows as a batch of schema ``records.CALLS``."""
    columns = list(zip(*rows, strict=True)) or [()] * len(CALLS)
    arrays = []
    for column, field in zip(columns, CALLS, strict=True):
        if not pa.types.is_list(field.type):
            arrays.append(pa.array(column, field.type))
            continue
        edges = pa.array([0, *accumulate(map(len, column))], pa.int32())
        flat = pa.array([value for values in column for value in values], field.type.value_type)
        arrays.append(pa.ListArray.from_arrays(edges, flat))
    return pa.RecordBatch.from_arrays(arrays, schema=CALLS)


def word(value: object) -> str | None:
    """Return a non-blank text as it is and a whole number as text; None for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        return (value.replace("\0", " ") if "\0" in value else value) if value and not value.isspace() else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_TOKENS:
        return str(value)
    return None


def tokens(value: object) -> int | None:
    """Return a token count; None for anything that is none."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < _MOST_TOKENS else None

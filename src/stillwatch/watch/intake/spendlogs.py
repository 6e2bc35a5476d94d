"""Where ``LiteLLM_SpendLogs`` rows differ from the logging payload: the request lies elsewhere, and Parquet rows become JSON first.

``user`` of such a row is LiteLLM's own user id of the key, so ``litellm`` takes it as the account when the metadata hold none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

_EMPTY: Final = (b"", b"null", b"{}", b"[]", b'""', b'"{}"', b'"[]"', b'"null"')
#: Columns of the table that are read.
COLUMNS: Final = (
    "request_id", "call_type", "api_key", "prompt_tokens", "completion_tokens", "startTime", "endTime", "model", "model_group",
    "custom_llm_provider", "api_base", "user", "metadata", "end_user", "requester_ip_address", "messages", "response", "proxy_server_request",
    "model_parameters", "status", "team_id", "organization_id", "user_agent", "stream",
)  # fmt: skip
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(enc_hook=str).encode


def request(messages: bytes, settings: bytes, proxied: bytes) -> tuple[bytes, bytes]:
    """Return (messages, settings) as undecoded JSON, taken from the proxied request where the row itself holds none."""
    no_messages = messages.strip() in _EMPTY
    if not no_messages and settings:
        return messages, settings
    try:
        body = _body(proxied)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return messages, settings
    if not body:
        return messages, settings
    whole = _encode(body)
    return (whole if no_messages else messages), settings or whole


def _body(proxied: bytes) -> dict[str, msgspec.Raw]:
    if proxied[:1] == b'"':
        proxied = msgspec.json.decode(proxied, type=str).encode()
    if proxied.strip() in _EMPTY:
        return {}
    body = _raw_fields(proxied)
    inner = body.get("body")
    return _body(bytes(inner)) if inner is not None and bytes(inner)[:1] in (b"{", b'"') else body


def parquet_lines(file: pq.ParquetFile, rows: int) -> Iterator[list[bytes]]:
    """Yield lists of rows as JSON objects, so that one reader serves both forms."""
    wanted = [name for name in file.schema_arrow.names if name in COLUMNS]
    for batch in file.iter_batches(rows, columns=wanted):
        # Nanoseconds have no Python type without pandas.
        columns = [c.cast(pa.timestamp("us", c.type.tz), safe=False) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
        yield [_encode(_keyed(record)) for record in pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()]


def _keyed(record: dict[str, Any]) -> dict[str, Any]:
    # Arrow maps arrive as lists of pairs.
    meta = record.get("metadata")
    if isinstance(meta, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in meta):
        record["metadata"] = dict(meta)
    return record

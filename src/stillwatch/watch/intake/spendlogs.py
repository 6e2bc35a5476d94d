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
#: What LiteLLM writes where a route has no messages of its own; the request then lies in the body.
_PLACEHOLDER: Final = b"default-message-value"
_SHORT: Final = 200
_DEEPEST: Final = 3
_FORMS: Final = frozenset(("messages", "prompt", "input", "contents"))
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(enc_hook=str).encode


def request(messages: bytes, settings: bytes, proxied: bytes) -> tuple[bytes, bytes]:
    """Return (messages, settings) as undecoded JSON, taken from the proxied request where the row itself holds none."""
    no_messages = messages.strip() in _EMPTY or (len(messages) < _SHORT and _PLACEHOLDER in messages)
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


def _body(proxied: bytes, depth: int = 0) -> dict[str, msgspec.Raw]:
    if proxied[:1] == b'"':
        proxied = msgspec.json.decode(proxied, type=str).encode()
    if proxied.strip() in _EMPTY:
        return {}
    body = _raw_fields(proxied)
    for name in ("body", "data"):  # ``data`` is where a pass-through route keeps it
        inner = bytes(body.get(name, b""))
        if depth < _DEEPEST and (inner[:1] == b"{" or (name == "body" and inner[:1] == b'"')) and not _FORMS & body.keys():
            return _body(inner, depth + 1)
    return body


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

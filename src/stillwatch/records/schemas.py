"""Arrow schemas of the bulk tables.

Each schema carries its own version in its metadata, apart from the release, so that old files stay readable.
Times are seconds since the epoch in UTC.  A ``*_ref`` is a keyed reference (HMAC-SHA-256, see ``intake.identity``), never the identity.
There is no column for country, language or time zone: they are never evidence, so they are never carried.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa


def _schema(name: str, version: int, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={b"stillwatch.table": name.encode(), b"stillwatch.version": str(version).encode()})


_text = pa.large_string()
_string = pa.string()

#: One request with its reply.  Rows of ``intake``; the texts live only in the spool.
CALLS: Final = _schema(
    "calls",
    2,
    [
        pa.field("call_id", _string, nullable=False),
        pa.field("account", _string, nullable=False),
        pa.field("key", _string),  # the API key as the log names it: its hash; where the log names no user, this is the account
        pa.field("at", pa.float64(), nullable=False),  # start of the request
        pa.field("ended", pa.float64()),
        pa.field("model", _string),
        pa.field("call_type", _string),
        pa.field("access_path", _string),  # provider or route the request came by
        pa.field("status", _string),
        pa.field("stream", pa.bool_()),
        pa.field("org_ref", _string),  # declared organisation or team of the key
        pa.field("mail_ref", _string),
        pa.field("mail_domain_ref", _string),
        pa.field("mail_shape", _string),  # shape of the local part, see intake.identity
        pa.field("address_ref", _string),  # an IPv6 address counts by its /64
        pa.field("end_user_ref", _string),  # a reseller's own end user, as the client says
        pa.field("agent", _string),  # user agent
        pa.field("headers", _string),  # names of custom headers, sorted, comma-separated
        pa.field("params", _string),  # sampling parameters, canonical JSON (sorted keys, no texts)
        pa.field("tools", _string),  # tool and response schemas, canonical JSON
        pa.field("prompt_tokens", pa.int64()),
        pa.field("reply_tokens", pa.int64()),
        pa.field("roles", pa.list_(_string), nullable=False),  # one per segment: system | user
        pa.field("segments", pa.list_(_text), nullable=False),  # client-written texts; an empty user text: not known
        pa.field("answer", _text),  # the reply's text; hashed, and never written anywhere
        pa.field("resent", _text),  # the last reply that the client sent back with the request; likewise
    ],
)

#: The sign-up record of an account.
ACCOUNTS: Final = _schema(
    "accounts",
    2,
    [
        pa.field("account", _string, nullable=False),
        pa.field("created_at", pa.float64()),
        pa.field("mail_ref", _string),
        pa.field("mail_domain_ref", _string),
        pa.field("mail_shape", _string),
        pa.field("payment_ref", _string),
        pa.field("plan", _string),
        pa.field("programme", _string),
        pa.field("org_ref", _string),
        pa.field("verified", pa.bool_()),
        pa.field("par_ref", _string),  # payment account reference: one for a card at all its merchants (version 2)
    ],
)

#: What is kept of a call once its text is gone.  Hashes are unsigned 64-bit values stored as int64 so that every engine can carry them.
SKETCHES: Final = _schema(
    "sketches",
    3,
    [
        pa.field("call", pa.int64(), nullable=False),  # row number in the spool
        *[
            CALLS.field(n)
            for n in (
                "call_id",
                "account",
                "key",
                "at",
                "model",
                "org_ref",
                "address_ref",
                "end_user_ref",
                "status",
                "mail_ref",
                "mail_domain_ref",
                "mail_shape",
            )
        ],
        pa.field(
            "order", pa.int64(), nullable=False
        ),  # hash of id, account, time and text: a sampling order that neither line order nor a client changes
        pa.field("client", pa.int64(), nullable=False),  # agent, header names, sampling parameters
        pa.field("agent", pa.int64(), nullable=False),
        pa.field("system", pa.int64(), nullable=False),  # 0 = none
        pa.field("tools", pa.int64(), nullable=False),  # 0 = none
        pa.field("text", pa.int64(), nullable=False),  # hash of the whole normalised prompt, 0 = not known
        pa.field("words", pa.int32(), nullable=False),
        pa.field("prints", pa.list_(pa.int64()), nullable=False),  # winnowed fingerprints, distinct
        pa.field("answer_prints", pa.list_(pa.int64())),  # a sample of those of the reply, see sketch.echo; null where no reply is known
        pa.field("resent_prints", pa.list_(pa.int64())),  # likewise of the last reply that the client sent back
    ],
)

#: ``attributed_calls.parquet``
ATTRIBUTED: Final = _schema(
    "attributed_calls",
    1,
    [
        pa.field("call_id", _string, nullable=False),
        pa.field("account", _string, nullable=False),
        pa.field("campaign", _string, nullable=False),
        pa.field("bits", pa.float64(), nullable=False),
    ],
)

#: ``accounts.parquet``: one row per account and campaign.
ACCOUNT_RESULTS: Final = _schema(
    "account_results",
    1,
    [
        pa.field("account", _string, nullable=False),
        pa.field("campaign", _string, nullable=False),
        pa.field("calls", pa.int64(), nullable=False),
        pa.field("attributed_calls", pa.int64(), nullable=False),
        pa.field("bits", pa.float64(), nullable=False),
    ],
)

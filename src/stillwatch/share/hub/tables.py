"""The hub's tables.  ``migrations`` make them; a test holds the two together."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

metadata: Final = MetaData()
#: SQLite counts its own rows only in a column of type INTEGER.
_Seq: Final = BigInteger().with_variant(Integer, "sqlite")

settings: Final = Table("settings", metadata, Column("name", String, primary_key=True), Column("value", LargeBinary, nullable=False))
members: Final = Table(
    "members",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),  # who owns it; counts once in a quorum
    Column("role", String, nullable=False),  # security, counsel, operator
    Column("token", String, nullable=False, unique=True),  # SHA-256, hex
    Column("enrolled", BigInteger, nullable=False),
    Column("revoked", BigInteger),
    Column("token_until", BigInteger),  # None: for good
    Column("old_token", String, index=True),  # the one before, while both hold
    Column("old_until", BigInteger),
    Column("used", String),  # the day it last came; nothing finer, for what a member does when is its own business
)
keys: Final = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("member", String, nullable=False, index=True),
    Column("public", LargeBinary, nullable=False),
    Column("enrolled", BigInteger, nullable=False),
    Column("retired", BigInteger),
)
collections: Final = Table(
    "collections",
    metadata,
    Column("id", String, primary_key=True),
    Column("alias", String, nullable=False, unique=True),
    Column("title", String, nullable=False),
    Column("last_added", BigInteger, nullable=False),
)
rights: Final = Table(
    "rights",
    metadata,
    Column("member", String, primary_key=True),
    Column("collection", String, primary_key=True),
    Column("can_read", Boolean, nullable=False),
    Column("can_write", Boolean, nullable=False),
)
objects: Final = Table(
    "objects",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("collection", String, nullable=False),
    Column("id", String, nullable=False),
    Column("type", String, nullable=False),
    Column("version", String, nullable=False),  # its own text
    Column("at", BigInteger, nullable=False),  # the version as microseconds
    Column("added", BigInteger, nullable=False),  # microseconds, strictly increasing in a collection
    Column("member", String, nullable=False),
    Column("about", String, nullable=False),
    Column("expires", String, nullable=False),  # day
    Column("digest", String, nullable=False),
    Column("is_first", Boolean, nullable=False),
    Column("is_last", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("collection", "id", "at"),
    Index("objects_pages", "collection", "is_last", "seq"),
    Index("objects_expiry", "expires"),
    sqlite_autoincrement=True,  # a number is never given twice, also after a deletion
)
#: Every id that was ever stored: whose it is and what became of it, also where no version is left.
ids: Final = Table(
    "ids",
    metadata,
    Column("collection", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("member", String, nullable=False),
    Column("at", BigInteger, nullable=False),  # the highest version seen, as microseconds
    Column("ended", String, nullable=False),  # "", revoked, deleted or expired
    Column("number", BigInteger, nullable=False),  # entry of the log with which it ended; 0 while it lives
    Column("since", BigInteger, nullable=False),  # when it was first stored, microseconds
    Column("networks", Integer, nullable=False),  # that its document names
    Index("ids_ended", "collection", "number"),
    Index("ids_member", "collection", "member", "since"),
)
#: What members stated on their persons, as signed; who may approve follows from it.
statements: Final = Table(
    "statements",
    metadata,
    Column("member", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
status: Final = Table(
    "status",
    metadata,
    Column("id", String, primary_key=True),
    Column("member", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
log: Final = Table(
    "log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("member", String),  # whose entry it is, so that each finds its own without reading all
    Index("log_member", "member", "number"),
)
nodes: Final = Table(
    "nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
cosignatures: Final = Table(
    "cosignatures",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("member", String, primary_key=True),
    Column("line", String, nullable=False),
)
batches: Final = Table(
    "batches",  # what members sent for matching, whole; only added to, and read again once a day
    metadata,
    Column("number", _Seq, primary_key=True, autoincrement=True),
    Column("member", String, nullable=False),
    Column("kind", String, nullable=False),  # batch, withdrawal
    Column("trait", String, nullable=False),  # "" for a withdrawal
    Column("epoch", String, nullable=False),
    Column("size", Integer, nullable=False),  # tags, counted towards the quota
    Column("quorum", Integer, nullable=False),
    Column("holder", String, nullable=False),  # digest of the key-holder's key
    Column("signature", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the document, or the tags taken back; canonical JSON, zlib
    Column("at", BigInteger, nullable=False),
    Column("progress", Integer, nullable=False),  # tags that the run has read
    Column("is_read", Boolean, nullable=False),
    Index("batches_quota", "member", "trait", "at"),
    Index("batches_unread", "is_read", "number"),
    sqlite_autoincrement=True,
)
holder_keys: Final = Table(
    "holder_keys",
    metadata,
    Column("trait", String, primary_key=True),
    Column("epoch", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("member", String, nullable=False),  # whose batch brought it
    Column("entry", BigInteger, nullable=False),  # of the log
)
tokens: Final = Table(
    "tokens",  # made from batches by the daily run
    metadata,
    Column("trait", String, primary_key=True),
    Column("epoch", String, primary_key=True),
    Column("tag", String, primary_key=True),
    Column("member", String, primary_key=True),
    Column("turn", Integer, primary_key=True, autoincrement=False),  # 0 a member's first, which is never replaced; 1 its last
    Column("batch", BigInteger, nullable=False),
    Column("share", String, nullable=False),
    Column("sealed", String, nullable=False),
    Column("key", String, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("day", String, nullable=False),  # the stamp of the batch
    Column("added", BigInteger, nullable=False),
    Column("withdrawn", BigInteger),
    Column("is_fresh", Boolean, nullable=False),  # to be joined by the next run
    Index("tokens_tag", "tag"),
    Index("tokens_member", "member", "tag"),
    Index("tokens_fresh", "is_fresh", "tag"),
)
answers: Final = Table(
    "answers",
    metadata,
    Column("member", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # the member's own count: a common one would tell of others' answers
    Column("trait", String, nullable=False),
    Column("epoch", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("at", BigInteger, nullable=False),  # end of the time that it is of
    Column("body", LargeBinary, nullable=False),
    Index("answers_tag", "tag"),
    Index("answers_at", "at"),
)

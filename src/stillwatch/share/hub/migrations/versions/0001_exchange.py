"""The exchange and its log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
_SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table("settings", sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.LargeBinary, nullable=False))
    op.create_table(
        "members",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False, unique=True),
        sa.Column("enrolled", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("member", sa.String, nullable=False, index=True),
        sa.Column("public", sa.LargeBinary, nullable=False),
        sa.Column("enrolled", sa.BigInteger, nullable=False),
        sa.Column("retired", sa.BigInteger),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("alias", sa.String, nullable=False, unique=True),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("last_added", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rights",
        sa.Column("member", sa.String, primary_key=True),
        sa.Column("collection", sa.String, primary_key=True),
        sa.Column("can_read", sa.Boolean, nullable=False),
        sa.Column("can_write", sa.Boolean, nullable=False),
    )
    op.create_table(
        "objects",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=True),
        *(sa.Column(n, sa.String, nullable=False) for n in ("collection", "id", "type", "version")),
        *(sa.Column(n, sa.BigInteger, nullable=False) for n in ("at", "added")),
        *(sa.Column(n, sa.String, nullable=False) for n in ("member", "about", "expires", "digest")),
        *(sa.Column(n, sa.Boolean, nullable=False) for n in ("is_first", "is_last")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("collection", "id", "at"),
        sqlite_autoincrement=True,
    )
    op.create_index("objects_pages", "objects", ["collection", "is_last", "seq"])
    op.create_index("objects_expiry", "objects", ["expires"])
    op.create_table(
        "status",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("member", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(n, sa.LargeBinary, nullable=False) for n in ("entry", "salt", "detail")),
    )
    op.create_table(
        "nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "cosignatures",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("member", sa.String, primary_key=True),
        sa.Column("line", sa.String, nullable=False),
    )

"""Blinded traits and the answers at quorum."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tokens",
        *(sa.Column(n, sa.String, primary_key=True) for n in ("trait", "epoch", "tag", "member")),
        *(sa.Column(n, sa.String, nullable=False) for n in ("share", "sealed", "key")),
        sa.Column("added", sa.BigInteger, nullable=False),
    )
    op.create_index("tokens_tag", "tokens", ["tag"])
    op.create_index("tokens_added", "tokens", ["member", "added"])
    op.create_table(
        "answers",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        *(sa.Column(n, sa.String, nullable=False) for n in ("trait", "epoch", "tag")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("answers_tag", "answers", ["tag"])

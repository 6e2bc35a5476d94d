"""Matching once a day: batches kept whole, answers for each member.

Tags and answers of before are let go: their shares were made for another quorum, and their answers told more than is told now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables anew."""
    op.drop_table("answers")
    op.drop_table("tokens")
    op.create_table(
        "batches",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        *(sa.Column(n, sa.String, nullable=False) for n in ("member", "kind", "trait", "epoch")),
        *(sa.Column(n, sa.Integer, nullable=False) for n in ("size", "quorum")),
        *(sa.Column(n, sa.String, nullable=False) for n in ("holder", "signature")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("is_read", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("batches_quota", "batches", ["member", "trait", "at"])
    op.create_index("batches_unread", "batches", ["is_read", "number"])
    op.create_table(
        "holder_keys",
        *(sa.Column(n, sa.String, primary_key=True) for n in ("trait", "epoch", "digest")),
        sa.Column("member", sa.String, nullable=False),
        sa.Column("entry", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tokens",
        *(sa.Column(n, sa.String, primary_key=True) for n in ("trait", "epoch", "tag", "member")),
        sa.Column("turn", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("batch", sa.BigInteger, nullable=False),
        *(sa.Column(n, sa.String, nullable=False) for n in ("share", "sealed", "key")),
        sa.Column("quorum", sa.Integer, nullable=False),
        sa.Column("day", sa.String, nullable=False),
        sa.Column("added", sa.BigInteger, nullable=False),
        sa.Column("withdrawn", sa.BigInteger),
        sa.Column("is_fresh", sa.Boolean, nullable=False),
    )
    op.create_index("tokens_tag", "tokens", ["tag"])
    op.create_index("tokens_member", "tokens", ["member", "tag"])
    op.create_index("tokens_fresh", "tokens", ["is_fresh", "tag"])
    op.create_table(
        "answers",
        sa.Column("member", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(n, sa.String, nullable=False) for n in ("trait", "epoch", "tag")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("answers_tag", "answers", ["tag"])
    op.create_index("answers_at", "answers", ["at"])

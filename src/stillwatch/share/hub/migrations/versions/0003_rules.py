"""What became of every id, and members' persons."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables, and take over what is stored."""
    op.create_table(
        "ids",
        sa.Column("collection", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("member", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_index("ids_ended", "ids", ["collection", "number"])
    op.create_table(
        "statements",
        sa.Column("member", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.execute(
        "INSERT INTO ids (collection, id, member, at, ended, number) "
        "SELECT collection, id, MIN(member), MAX(at), '', 0 FROM objects GROUP BY collection, id"
    )

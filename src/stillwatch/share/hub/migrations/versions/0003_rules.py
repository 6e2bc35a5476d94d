"""What became of every id, and members' persons."""

from __future__ import annotations

import json

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
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("networks", sa.Integer, nullable=False),
    )
    op.create_index("ids_member", "ids", ["collection", "member", "since"])
    op.create_index("ids_ended", "ids", ["collection", "number"])
    op.create_table(
        "statements",
        sa.Column("member", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.add_column("log", sa.Column("member", sa.String))
    op.create_index("log_member", "log", ["member", "number"])
    log = sa.table("log", sa.column("number"), sa.column("detail"), sa.column("member"))
    c = op.get_bind()
    whose = [{"n": r.number, "who": json.loads(r.detail).get("member")} for r in c.execute(sa.select(log.c.number, log.c.detail))]
    if mine := [w for w in whose if isinstance(w["who"], str)]:
        c.execute(log.update().where(log.c.number == sa.bindparam("n")).values(member=sa.bindparam("who")), mine)
    op.execute(
        "INSERT INTO ids (collection, id, member, at, ended, number, since, networks) "
        "SELECT collection, id, MIN(member), MAX(at), '', 0, MIN(added), 0 FROM objects GROUP BY collection, id"
    )
    objects = sa.table("objects", *(sa.column(n) for n in ("collection", "id", "is_last", "body")))
    ids = sa.table("ids", *(sa.column(n) for n in ("collection", "id", "ended")))
    for r in c.execute(sa.select(objects.c.collection, objects.c.id, objects.c.body).where(objects.c.is_last)).all():
        if b'"revoked":true' in bytes(r.body):
            c.execute(ids.update().where(ids.c.collection == r.collection, ids.c.id == r.id).values(ended="revoked"))

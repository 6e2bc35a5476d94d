"""Members' tokens expire, overlap when they are changed, and show the day they were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    for name, kind in (("token_until", sa.BigInteger), ("old_token", sa.String), ("old_until", sa.BigInteger), ("used", sa.String)):
        op.add_column("members", sa.Column(name, kind))
    op.create_index("ix_members_old_token", "members", ["old_token"])

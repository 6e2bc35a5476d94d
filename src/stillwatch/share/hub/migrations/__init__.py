"""Alembic's scripts for the hub's database."""

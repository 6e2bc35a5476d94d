"""The hub on the command line: looking at it, backing it up, putting it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.table import Table

from stillwatch.cli import codes
from stillwatch.cli.console import row, say, say_json, stop
from stillwatch.cli.hub import Db, at_work, now, signing_key, told
from stillwatch.cli.options import Json
from stillwatch.share.hub import operate
from stillwatch.share.hub.database import HubError
from stillwatch.share.tlog import log as tree

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Key = Annotated[Path, typer.Option(help="Key that signs the log.")]
Origin = Annotated[str, typer.Option(help="The log's name, as hub serve was given it.")]


def _table(title: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
    table = Table(title=title)
    for shown in columns.values():
        table.add_column(shown)
    for r in rows:
        row(table, *("" if r[name] is None else r[name] for name in columns))
    Console(width=160).print(table)


@app.command("members")
def members_command(db: Db = "hub.db", as_json: Json = False) -> None:
    """List everybody who was ever enrolled: rights, key, token's end, the day it was last used."""
    with at_work(db) as database, database.read() as c:
        found = operate.list_members(c, now())
    if as_json:
        say_json({"members": found})
        return
    shown = [m | {"rights": " ".join(f"{alias}:{may or '-'}" for alias, may in m["rights"].items())} for m in found]
    heads = {"name": "member", "owner": "owner", "role": "role", "key": "key", "rights": "rights", "enrolled": "enrolled"}
    _table("Members", shown, heads | {"state": "token", "token_until": "until", "last_used": "last used"})


@app.command("keys")
def keys_command(db: Db = "hub.db", as_json: Json = False) -> None:
    """List every signing key that was ever enrolled, and when it was retired."""
    with at_work(db) as database, database.read() as c:
        found = [
            {
                "key": k.id,
                "member": k.member,
                "public": k.public.hex(),
                "enrolled": operate.day_of(k.enrolled),
                "retired": operate.day_of(k.retired),
            }
            for k in database.all_keys(c)
        ]
    if as_json:
        say_json({"keys": found})
        return
    _table("Keys", found, {"key": "key", "member": "member", "enrolled": "enrolled", "retired": "retired"})


@app.command("status")
def status_command(db: Db = "hub.db", as_json: Json = False) -> None:
    """Show the hub in figures, and what somebody has to do: tokens that end, a log that nobody cosigned."""
    with at_work(db) as database, database.read() as c:
        found = operate.status(database, c, now())
    if as_json:
        say_json(found)
        return
    table = Table(title="Hub", show_header=False)
    for name, value in found.items():
        if name != "warnings":
            row(table, name.replace("_", " "), value)
    Console(width=160).print(table)
    for line in found["warnings"]:
        say(f"Note: {line}")


@app.command("check")
def check_command(db: Db = "hub.db", as_json: Json = False) -> None:
    """Make the log's tree anew from its entries and compare everything that is kept; one line a fault."""
    with at_work(db) as database, database.read() as c:
        faults = list(operate.check(database, c))
        size, head = database.checkpoint(c) if not faults else (database.log_size(c), b"")
    if as_json:
        say_json({"log_entries": size, "log_root": head.hex() or None, "faults": faults})
    else:
        for line in faults:
            say(line)
        say(f"{len(faults)} faults" if faults else f"Whole: {size} entries, root {head.hex()}")
    if faults:
        raise typer.Exit(codes.NO)


@app.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(help="Where to; the signed checkpoint goes beside it.")],
    db: Db = "hub.db",
    key: Key = Path("hub.key"),
    origin: Origin = "hub.example/log",
    as_json: Json = False,
) -> None:
    """Copy the hub as it is at one moment, also while it is served, with the log's signed checkpoint beside the copy."""
    try:
        head = operate.backup(db, file, signing_key(key), origin)
    except (HubError, sa.exc.SQLAlchemyError) as error:
        stop(told(error))
    _told(f"{file}: {head.size} entries, root {head.root.hex()}; checkpoint in {file}.checkpoint", head, as_json)


@app.command("restore")
def restore_command(
    file: Annotated[
        Path | None, typer.Argument(help="The backup. Without one: state that the database itself was put back, as by pg_restore.")
    ] = None,
    db: Db = "hub.db",
    key: Key = Path("hub.key"),
    origin: Origin = "hub.example/log",
    as_json: Json = False,
) -> None:
    """Put a backup in place if it checks, and say so in the log, signed, so that members have a way on."""
    try:
        head, before = operate.restore(file, db, signing_key(key), origin, now())
    except (HubError, sa.exc.SQLAlchemyError) as error:
        stop(told(error))
    kept = f"; what was there lies in {before}" if before else ""
    _told(f"Restored to {head.size} entries, root {head.root.hex()}{kept}. Tell the members: each must accept it", head, as_json)


def _told(line: str, head: tree.Checkpoint, as_json: bool) -> None:
    if as_json:
        say_json({"log_entries": head.size, "log_root": head.root.hex()})
    else:
        say(line)

"""What counsel needs, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.console import say, stop
from stillwatch.cli.lazy import need
from stillwatch.cli.member import connected
from stillwatch.cli.options import place
from stillwatch.share.desk import audit
from stillwatch.share.desk.desk import Desk, DeskError, open_desk
from stillwatch.share.desk.heads import Head, logged_heads
from stillwatch.share.net.access import ClientError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Folder for the report and the files.")],
    db: Annotated[str | None, typer.Option("--db", help="The hub's database: the hub's side.", envvar="STILLWATCH_HUB_DB")] = None,
    desk: Annotated[Path | None, typer.Option("--desk", help="A lab's desk: the lab's side.")] = None,
) -> None:
    """Write what counsel needs: what left, what was removed, why it was lawful, refusals, decisions, error and appeal rates."""
    heads: list[Head] | None = None
    if (db is None) == (desk is None):
        stop("name one side: --db for the hub's, --desk for a lab's")
    try:
        if desk is not None:
            home = open_desk(desk)
            heads = _heads(home)
            pack = audit.of_desk(home, heads)
        else:
            database = need("stillwatch.cli.hub", "hub").database_at(db or "")  # a lab's side needs none
            with database.read() as c:
                pack = audit.of_hub(database, c)
        audit.write(pack, out)
    except (DeskError, OSError) as error:
        stop(str(error))
    if desk is not None and heads is None:
        say("Note: the hub was not asked whether the ledger's end is there (not joined, or it does not answer)", error=True)
    say(f"Report: {out / 'report.html'}; {len(pack.files)} files, listed with their digests in {out / 'manifest.json'}")


def _heads(home: Desk) -> list[Head] | None:
    """The heads of the ledger that the hub has logged, all of them; None where it cannot be asked."""
    try:
        return logged_heads(connected(home))[0]
    except (DeskError, ClientError):
        return None

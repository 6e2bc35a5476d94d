"""Pooled detection on the command line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stillwatch.cli import config as file
from stillwatch.cli.console import row, say, stop, stopped
from stillwatch.cli.member import connected, key_holders
from stillwatch.cli.options import Alarms, ByKey, Column, Config, Json, Memory, Quiet, Threads, Voice, place
from stillwatch.cli.running import run, tell
from stillwatch.cli.story import play
from stillwatch.share.desk.desk import DeskError, open_desk
from stillwatch.share.net.access import ClientError
from stillwatch.share.pool import exchange as pool
from stillwatch.share.tokens.oprf import ProofError

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Logs = Annotated[list[str], typer.Argument(help="Log files, globs or directories, as for detect.")]
Out = Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for the results.")]
Accounts = Annotated[Path, typer.Option(help="Sign-up records, CSV or Parquet.")]
DeskDir = Annotated[Path, typer.Option("--desk", help="The lab's desk, joined to a hub.")]


@app.command("send")
def send_command(
    logs: Logs,
    out: Out,
    accounts: Accounts,
    desk: DeskDir,
    key_holder: Annotated[list[str], typer.Option(help="Address of a key-holder; as many as the key is split among need be.")],
    key_holder_token: Annotated[list[Path], typer.Option(help="File with the token for each, in the same order.")],
    max_false_alarms: Alarms = None,
    column: Column = [],  # noqa: B006 - never changed
    account_by_key: ByKey = False,
    memory: Memory = None,
    threads: Threads = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """First look: detect alone, then send the traits of suspects for matching, blinded and padded."""
    voice = Voice(as_json, quiet)
    settings = file.settings(
        config,
        keeps=False,
        logs=logs,
        out=out,
        accounts=accounts,
        max_false_alarms=max_false_alarms,
        column=column,
        account_by_key=account_by_key,
        memory=memory,
        threads=threads,
    )
    try:
        home = open_desk(desk)
        holders = key_holders(key_holder, key_holder_token)
        hub = connected(home)
        sent = run(settings, voice, lambda p: pool.send(settings, home, hub, holders, p, time.time()))
    except (DeskError, ClientError, ProofError, OSError) as error:
        stop(str(error))
    traits = dict(sent.traits)
    tell(sent.case, settings, voice, suspicions=sent.suspicions, suspects=sent.accounts, traits_sent=traits)
    if voice.plain:
        each = ", ".join(f"{n} {kind}" for kind, n in traits.items()) or "none"
        say(f"{sent.suspicions} suspicions of {sent.accounts} accounts; traits sent for matching, blinded and padded: {each}")


@app.command("look")
def look_command(
    logs: Logs,
    out: Out,
    accounts: Accounts,
    desk: DeskDir,
    max_false_alarms: Alarms = None,
    column: Column = [],  # noqa: B006 - never changed
    account_by_key: ByKey = False,
    memory: Memory = None,
    threads: Threads = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Second look: detect with what partners' suspicions share, beside one's own evidence; the rest is a queue."""
    voice = Voice(as_json, quiet)
    settings = file.settings(
        config,
        keeps=False,
        logs=logs,
        out=out,
        accounts=accounts,
        max_false_alarms=max_false_alarms,
        column=column,
        account_by_key=account_by_key,
        memory=memory,
        threads=threads,
    )
    try:
        home = open_desk(desk)
        hub = connected(home)
        done = run(settings, voice, lambda p: pool.look_again(settings, home, hub, p, time.time()))
    except (DeskError, ClientError, OSError) as error:
        stop(str(error))
    case, queue = done
    tell(case, settings, voice, queue=len(queue))
    if not voice.plain:
        return
    shared = [q for q in queue if q.shared]
    if shared:
        shown = Table(title="Still only suspected, first those that partners share")
        for name in ("accounts", "shared", "own bits", "from", "to", "confirmed by a partner", "handed over"):
            shown.add_column(name)
        for q in shared[:10]:
            row(
                shown,
                str(q.accounts),
                str(q.shared),
                f"{q.bits:.1f}",
                q.first,
                q.last,
                "yes" if q.confirmed else "no",
                "yes" if q.handed_over else "no",
            )
        Console().print(shown)
    say(f"Queue of {len(queue)} suspicions: {out / 'queue.json'}")


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for the world, the desks and the results.")] = Path(
        "pool-demo"
    ),
    labs: Annotated[int, typer.Option(min=2, max=10, help="Labs that take part.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 7,
) -> None:
    """The whole story: labs that see nothing alone, a hub, a key-holder, and a second look together."""
    console = Console(stderr=True)
    try:
        story = play(out, labs=labs, seed=seed, tell=lambda line: console.print(line, highlight=False, markup=False))
    except RuntimeError as error:
        stop(str(error))
    except KeyboardInterrupt:
        stopped("Stopped; hub and key-holder are down. Remove the directory to begin again.")
    shown = Table(title="Accounts found, alone and together")
    for name in ("ring", "lab", "accounts", "alone", "together"):
        shown.add_column(name, justify="left" if name == "ring" else "right")
    for r in story.rows:
        row(shown, r.ring, str(r.lab), str(r.accounts), str(r.alone), str(r.together))
    Console().print(shown)
    say(f"Honest accounts touched: {story.honest_touched} of {story.honest:,}")
    say(f"Report of lab 1: {story.report}")

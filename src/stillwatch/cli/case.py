"""The case file on the command line: campaigns over runs, what became of them, what was decided."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stillwatch.cli.console import say, say_json, stop
from stillwatch.records import ACTIONS
from stillwatch.store.sqlite import DatabaseError
from stillwatch.watch.case import NAME, CaseError, CaseFile, Decision, Entry, Event

app = typer.Typer(add_completion=False, rich_markup_mode=None)

Where = Annotated[Path, typer.Argument(metavar="DIR", help="What detect was given with --out or --state.")]
Which = Annotated[str, typer.Argument(help="A campaign's id, or the beginning of it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output instead of text.")]


@app.command("list")
def list_command(directory: Where, as_json: AsJson = False) -> None:
    """List all campaigns that runs found, those seen last first."""
    with _opened(directory) as file:
        entries = file.entries()
    if as_json:
        say_json({"format": {"name": "stillwatch.case.list", "version": 1}, "campaigns": msgspec.to_builtins(entries)})
        return
    for e in entries:
        say(_line(e))
    if not entries:
        say("No campaign yet.")


@app.command("show")
def show_command(directory: Where, campaign: Which, as_json: AsJson = False) -> None:
    """Print what became of a campaign: when it was seen, what it came out of, took in or was joined to, what was decided."""
    with _opened(directory) as file:
        name = file.find(campaign)
        entry = next(e for e in file.entries() if e.id == name)
        events, decisions = file.history(name), file.decisions(name)
    if as_json:
        shown = {"campaign": entry, "history": events, "decisions": decisions}
        say_json({"format": {"name": "stillwatch.case.show", "version": 1}, **msgspec.to_builtins(shown)})
        return
    say(_line(entry))
    for e in events:
        say(f"  {_day(e.at)}  {_said(e)}")


@app.command("decide")
def decide_command(
    directory: Where,
    campaign: Which,
    action: Annotated[str, typer.Option(help=f"One of: {', '.join(ACTIONS)}.")],
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why, in one line.")],
    found: Annotated[
        Path | None, typer.Option(help="Results with the campaign that the decision rests on. Default: DIR, where it has results.")
    ] = None,
) -> None:
    """Put down a decision about a campaign, with a digest of the evidence it rests on; decisions are never changed or deleted."""
    with _opened(directory) as file:
        name = file.find(campaign)
        evidence = _evidence(found or directory, name)
        if not evidence and action in ("limit", "block"):
            stop(f"{name}: to {action} needs evidence of your own: name results that hold the campaign with --found")
        file.decide(name, Decision(action, by, reason, evidence, time.time()))
    say(f"{name}: {action}, by {by}; evidence {evidence or 'none named'}")


def became(directory: Path, campaign: str) -> str | None:
    """What the case file of some results says of a campaign that is not among them; None where it knows none of that name."""
    try:
        with CaseFile.existing(case_file_of(directory)) as file:
            name = file.find(campaign)
            entry = next(e for e in file.entries() if e.id == name)
            return "\n".join([_line(entry), *(f"  {_day(e.at)}  {_said(e)}" for e in file.history(name))])
    except (CaseError, DatabaseError):
        return None


def case_file_of(directory: Path) -> Path:
    """The case file that some results name, else the one in the directory."""
    try:
        named = json.loads((directory / "run.json").read_text(encoding="utf-8"))["custody"]["case_file"]
    except (OSError, ValueError, KeyError, TypeError):
        named = None
    return Path(named) if isinstance(named, str) and Path(named).is_file() else directory / NAME


@contextmanager
def _opened(directory: Path) -> Iterator[CaseFile]:
    try:
        with CaseFile.existing(case_file_of(directory)) as file:
            yield file
    except (CaseError, DatabaseError) as error:
        stop(str(error))


def _evidence(found: Path, name: str) -> str:
    """SHA-256 of a campaign's line in ``campaigns.jsonl``; empty where there are no results or it is not among them."""
    try:
        lines = (found / "campaigns.jsonl").read_bytes().splitlines()
    except OSError:
        return ""
    mine: list[Any] = [line for line in lines if json.loads(line).get("id") == name]
    return sha256(mine[0]).hexdigest() if mine else ""


def _line(e: Entry) -> str:
    some = f"{e.accounts:,} account{'s' * (e.accounts != 1)}, {e.calls:,} calls, {e.bits:.1f} bits"
    after = f"; joined into {e.into}" if e.into else ""
    return f"{e.id}  {e.kind}, last seen {_day(e.seen)}: {some}, {_day(e.first)} to {_day(e.last)}{after}; decision: {e.decision or 'none'}"


def _said(e: Event) -> str:
    some = f"{e.accounts:,} account{'s' * (e.accounts != 1)}, {e.calls:,} calls, {e.bits:.1f} bits"
    return {
        "found": f"found: {some}",
        "seen": f"seen again: {some}",
        "split": f"came out of {e.other}",
        "parted": f"{e.other} came out of it",
        "join": f"took in {e.other}",
        "joined": f"joined into {e.other}",
        "decision": f"decision: {e.text}",
    }[e.what]


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")

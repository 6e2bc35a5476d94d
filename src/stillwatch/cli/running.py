"""A run of detection on the terminal: the bar while it works, the table when it is done."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Final, TypeVar

import duckdb
import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from stillwatch.cli import codes, interrupt
from stillwatch.cli.console import row, say, say_json, stop, stopped, words_of
from stillwatch.cli.options import Voice
from stillwatch.records import Case
from stillwatch.store import BusyError, StateError, damage_of
from stillwatch.store.sqlite import DatabaseError
from stillwatch.watch.evidence import unjudged
from stillwatch.watch.evidence.serialise import iso
from stillwatch.watch.evidence.summary import COLUMNS, sentences, table_rows
from stillwatch.watch.evidence.words import count
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import IntakeError

T = TypeVar("T")


def run(settings: Settings, voice: Voice, work: Callable[[Progress], T]) -> T:
    """Do ``work``, with a bar; ends the command where the input cannot be used."""
    progress = Progress()
    columns = (TextColumn("{task.description:>16}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    try:
        with Bar(*columns, console=Console(stderr=True), transient=True, disable=voice.quiet or not sys.stderr.isatty()) as bar:
            task = bar.add_task("start", total=None)
            progress.step = lambda name: bar.update(task, description=_unless_stopped(name))
            progress.size = lambda n: bar.update(task, total=n)
            progress.read = lambda n: bar.advance(task, n)
            return work(progress)
    except (IntakeError, StateError, BusyError, DatabaseError) as error:
        stop(str(error))
    except OSError as error:
        stop(words_of(error, settings.out))
    except KeyboardInterrupt:
        stopped(_STOPPED[progress.placed])
    except duckdb.Error as error:
        if interrupt.seen():
            stopped(_STOPPED[progress.placed])
        if os.strerror(errno.ENOSPC) in str(error):
            stop(words_of(OSError(errno.ENOSPC, ""), settings.out))
        first = str(error).splitlines()[0]
        if settings.state is not None and (damage := damage_of(settings.state)) is not None:
            stop(str(damage))
        hint = (
            "; give it more with --memory, or free room in --out, where it spills" if isinstance(error, duckdb.OutOfMemoryException) else ""
        )
        stop(f"{settings.out}: the engine could not go on: {first}{hint}")


_STOPPED: Final = {
    False: "Stopped; what an earlier run had finished is as it was. Run the same command again to start over.",
    True: "Stopped; the results of this run are in place.",
}


def _unless_stopped(step: str) -> str:
    """The step that begins, unless Ctrl-C was pressed where a library's callback swallowed it."""
    if interrupt.seen():
        raise KeyboardInterrupt
    return step


def run_detect(settings: Settings, voice: Voice, *, fail_on_found: bool = False) -> None:
    """Detect, tell what was found, and end with the code that says so."""
    case = run(settings, voice, lambda progress: detect(settings, progress, now=time.time()))
    tell(case, settings, voice)
    if fail_on_found and case.campaigns:
        raise typer.Exit(codes.NO)


def tell(case: Case, settings: Settings, voice: Voice, **more: object) -> None:
    """Print what a run found, as the voice wants it; ``more`` goes into the JSON object."""
    if voice.json:
        say_json({**summary(case, settings), **more})
    elif voice.plain:
        table(case, settings, Console())


def summary(case: Case, settings: Settings) -> dict[str, object]:
    """What a run found as one JSON object."""
    run = case.run
    return {
        "format": {"name": "stillwatch.summary", "version": 1},
        "campaigns": [
            {
                "id": c.id,
                "kind": c.kind,
                "bits": c.bits,
                "threshold_bits": c.threshold_bits,
                "p": c.p,
                "q": c.q,
                "accounts": c.accounts,
                "calls": c.calls,
                "first_call": iso(c.first),
                "last_call": iso(c.last),
                "techniques": [i for i, _ in c.techniques],
            }
            for c in case.campaigns
        ],
        "leads": len(case.leads),
        "calls": run.calls,
        "accounts": run.accounts,
        "rejected": run.rejected,
        "copies": run.copies,
        "unjudged": [msgspec.to_builtins(n) for n in unjudged(case)],
        "notices": [msgspec.to_builtins(n) for n in run.notices],
        "out": str(settings.out),
    }


def table(case: Case, settings: Settings, console: Console) -> None:
    """Print what a run found."""
    if case.campaigns:
        shown = Table(title=count(len(case.campaigns), "campaign"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name, side in COLUMNS:
            shown.add_column(name, justify=side, no_wrap=name != "techniques")  # type: ignore[arg-type]
        for cells in table_rows(case):
            row(shown, *cells)
        console.print(shown)
    for sentence in sentences(case):
        say(sentence)
    say(f"Report: {settings.out / 'report.html'}")

"""What all commands print alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from stillwatch.records import Case
from stillwatch.store import StateError
from stillwatch.watch.evidence.summary import COLUMNS, sentences, table_rows
from stillwatch.watch.evidence.words import count
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import IntakeError

T = TypeVar("T")


def stop(message: str) -> NoReturn:
    """Print an error and end with 2."""
    console = Console(stderr=True)
    console.print("[bold red]Error:[/bold red] ", end="")
    console.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def run(settings: Settings, console: Console, work: Callable[[Progress], T] | None = None) -> T | Case:
    """Detect, or do ``work``, with a bar; prints what ``detect`` found.  Ends the command where the input cannot be used."""
    columns = (TextColumn("{task.description:>16}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    try:
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("start", total=None)
            progress = Progress(
                step=lambda name: bar.update(task, description=name),
                size=lambda n: bar.update(task, total=n),
                read=lambda n: bar.advance(task, n),
            )
            done = work(progress) if work else detect(settings, progress, now=time.time())
    except (IntakeError, StateError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written but what an earlier run had finished. Run the same command again to start over.")
        raise typer.Exit(130) from None
    if isinstance(done, Case):
        table(done, settings, Console())
    return done


def table(case: Case, settings: Settings, console: Console) -> None:
    """Print what a run found."""
    if case.campaigns:
        shown = Table(title=count(len(case.campaigns), "campaign"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name, side in COLUMNS:
            shown.add_column(name, justify=side, no_wrap=name != "techniques")  # type: ignore[arg-type]
        for row in table_rows(case):
            shown.add_row(*row)
        console.print(shown)
    for sentence in sentences(case):
        console.print(sentence, highlight=False, markup=False)
    console.print(f"Report: {settings.out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)

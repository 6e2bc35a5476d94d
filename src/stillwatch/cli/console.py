"""What all commands print alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from stillwatch.records import Case
from stillwatch.store import StateError
from stillwatch.store.sqlite import DatabaseError
from stillwatch.watch.evidence.explain import day
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import IntakeError, mapping

T = TypeVar("T")
Column = Annotated[
    list[str],
    typer.Option(
        metavar="KNOWN=THEIRS", help="What the accounts file calls a known column, such as created_at=signup; as often as need be."
    ),
]


def stop(message: str) -> NoReturn:
    """Print an error and end with 2."""
    console = Console(stderr=True)
    console.print("[bold red]Error:[/bold red] ", end="")
    console.print(message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)


def columns(words: list[str]) -> dict[str, str]:
    """The mapping that ``--column`` words give.  Ends the command where one is of another form or name."""
    try:
        return mapping(words)
    except IntakeError as error:
        stop(str(error))


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
    except (IntakeError, StateError, DatabaseError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written but what an earlier run had finished. Run the same command again to start over.")
        raise typer.Exit(130) from None
    if isinstance(done, Case):
        table(done, settings, Console())
    return done


def table(case: Case, settings: Settings, console: Console) -> None:
    """Print what a run found."""
    run = case.run
    if case.campaigns:
        shown = Table(title=f"{len(case.campaigns)} campaigns" if len(case.campaigns) > 1 else "1 campaign")
        for name, side in (
            ("campaign", "left"),
            ("accounts", "right"),
            ("calls", "right"),
            ("first call", "left"),
            ("bits", "right"),
            ("techniques", "left"),
        ):
            shown.add_column(name, justify=side, no_wrap=name == "campaign")  # type: ignore[arg-type]
        for c in case.campaigns:
            shown.add_row(c.id, str(c.accounts), f"{c.calls:,}", day(c.first), f"{c.bits:.1f}", " ".join(i for i, _ in c.techniques))
        console.print(shown)
    else:
        console.print(f"No campaign: none of {run.units_tested:,} groups passed the threshold of {run.threshold_bits:.1f} bits.")
    console.print(f"{run.calls:,} calls of {run.accounts:,} accounts read in {sum(run.timings.values()):.1f} s.", highlight=False)
    for notice in run.notices:
        console.print(f"{'Not judged' if notice.unjudged else 'Note'}: {notice}", highlight=False, markup=False)
    if run.rejected:
        console.print(
            f"{run.rejected:,} rows could not be used; see {settings.out / 'quarantine.jsonl'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Report: {settings.out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)

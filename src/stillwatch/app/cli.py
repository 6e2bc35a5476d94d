"""The command line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from stillwatch import __version__
from stillwatch.app.console import stop
from stillwatch.app.flow import Progress, Settings, detect
from stillwatch.app.hub_cli import hub_app, key_holder_app
from stillwatch.app.range_cli import range_app
from stillwatch.app.release_cli import release_app
from stillwatch.evidence import campaign_from_json, explain, run_from_json
from stillwatch.evidence.explain import day
from stillwatch.intake import IntakeError
from stillwatch.records import Case
from stillwatch.store import StateError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Find, prove and stop adversarial distillation."
)
app.add_typer(release_app, name="release")
app.add_typer(hub_app, name="hub")
app.add_typer(key_holder_app, name="key-holder")
app.add_typer(range_app, name="range")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"stillwatch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass


@app.command("detect")
def detect_command(
    logs: Annotated[list[str], typer.Argument(help="Log files, globs or directories (JSON lines, .gz, .zst, Parquet).")],
    out: Annotated[Path, typer.Option(help="Directory for the results.")],
    accounts: Annotated[Path | None, typer.Option(help="Sign-up records, CSV or Parquet; without them fewer traits can be judged.")] = None,
    max_false_alarms: Annotated[
        float, typer.Option(min=1e-9, max=10.0, help="False campaigns to expect at most in a run without any.")
    ] = 0.01,
    show_text: Annotated[bool, typer.Option("--show-text", help="Print the fixed words of prompt templates in the report.")] = False,
    key: Annotated[Path | None, typer.Option(help="Identity key; made on first use. Default: identity.key in --state or --out.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Directory that keeps what was read, so that the next run reads only new files; holds prompts in clear."),
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.01, help="Look only at so many days up to the newest call; --state forgets the rest.")
    ] = None,
) -> None:
    """Find distillation campaigns in API logs."""
    console = Console(stderr=True)
    _run(Settings(logs, out, accounts, key, max_false_alarms, show_text, state=state, window=window), console)


@app.command("explain")
def explain_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What detect wrote with --out.")],
    campaign: Annotated[str, typer.Argument(help="A campaign's id, or the beginning of it.")],
) -> None:
    """Print why a campaign was found, reason by reason in bits, with the calls that show it."""
    try:
        run = run_from_json(json.loads((directory / "run.json").read_text(encoding="utf-8")))
        lines = (directory / "campaigns.jsonl").read_text(encoding="utf-8").splitlines()
        campaigns = [campaign_from_json(json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        stop(f"{error.filename}: not there; name the directory that stillwatch detect wrote with --out")
    except ValueError as error:
        stop(f"{directory}: campaigns.jsonl or run.json cannot be read: {error}")
    chosen = [c for c in campaigns if c.id.startswith(campaign)]
    if len(chosen) != 1:
        ids = ", ".join(c.id for c in campaigns) or "none"
        stop(f"{campaign}: {'no' if not chosen else 'more than one'} campaign of that id in {directory} (there: {ids})")
    Console().print(explain(chosen[0], run))


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Directory for the world and the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 7,
) -> None:
    """Build a small world of honest customers and one ring, and detect on it."""
    from stillwatch.range import build_world, small_world  # noqa: PLC0415 - only the demo needs the range

    console = Console(stderr=True)
    world = out / "world"
    console.print(f"Building a small world in {world} (seed {seed}) ...")
    summary = build_world(small_world(), seed=seed, out=world)
    console.print(f"{summary.calls:,} calls of {summary.accounts:,} accounts; one ring of {summary.ring_accounts} among them.")
    _run(Settings([str(world / "calls.jsonl.gz")], out / "found", world / "accounts.csv"), console)


def _run(settings: Settings, console: Console) -> None:
    columns = (TextColumn("{task.description:>16}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    try:
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("start", total=None)
            progress = Progress(
                step=lambda name: bar.update(task, description=name),
                size=lambda n: bar.update(task, total=n),
                read=lambda n: bar.advance(task, n),
            )
            case = detect(settings, progress, now=time.time())
    except (IntakeError, StateError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        console.print("Stopped; nothing was written but what an earlier run had finished. Run the same command again to start over.")
        raise typer.Exit(130) from None
    _table(case, settings, Console())


def _table(case: Case, settings: Settings, console: Console) -> None:
    run = case.run
    if case.campaigns:
        table = Table(title=f"{len(case.campaigns)} campaigns" if len(case.campaigns) > 1 else "1 campaign")
        for name, side in (
            ("campaign", "left"),
            ("accounts", "right"),
            ("calls", "right"),
            ("first call", "left"),
            ("bits", "right"),
            ("techniques", "left"),
        ):
            table.add_column(name, justify=side, no_wrap=name == "campaign")  # type: ignore[arg-type]
        for c in case.campaigns:
            table.add_row(c.id, str(c.accounts), f"{c.calls:,}", day(c.first), f"{c.bits:.1f}", " ".join(i for i, _ in c.techniques))
        console.print(table)
    else:
        console.print(f"No campaign: none of {run.units_tested:,} groups passed the threshold of {run.threshold_bits:.1f} bits.")
    console.print(f"{run.calls:,} calls of {run.accounts:,} accounts read in {sum(run.timings.values()):.1f} s.", highlight=False)
    for notice in run.notices:
        console.print(f"Note: {notice}", highlight=False, markup=False)
    if run.rejected:
        console.print(
            f"{run.rejected:,} rows could not be used; see {settings.out / 'quarantine.jsonl'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Report: {settings.out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point of the ``stillwatch`` command."""
    app()


if __name__ == "__main__":
    main()

"""The range on the command line."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from stillwatch.cli.console import row, say, stop, stopped
from stillwatch.range import SpecError, WorldSpec, build_world, load_spec
from stillwatch.range.play import Outcome, play
from stillwatch.range.plots import page
from stillwatch.range.score import score_world
from stillwatch.store import write_atomically
from stillwatch.watch.flow import Progress, Settings, detect

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A TOML file; see docs/range.md and specs/.")]
Seed = Annotated[int, typer.Option(help="Seed of the world; the same seed gives the same bytes.")]


@app.command("build")
def build_command(
    spec: SpecFile,
    out: Annotated[Path, typer.Option(help="Directory for the world.")],
    seed: Seed = 1,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes that make it; default one per core for large worlds.")] = None,
) -> None:
    """Build a labelled world: log, sign-up records, truth."""
    world = _load(spec)
    console = Console(stderr=True)
    try:
        with Bar(TextColumn("building"), BarColumn(), TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task("building", total=1.0)
            made = build_world(world, seed=seed, out=out, processes=processes, progress=lambda share: bar.update(task, completed=share))
    except SpecError as error:
        stop(str(error))
    except KeyboardInterrupt:
        stopped("Stopped; the world is not complete. Run the same command again.")
    say(f"{made.calls:,} calls of {made.accounts:,} accounts, {made.ring_accounts:,} of them in campaigns; seed {seed}; in {out}")


@app.command("score")
def score_command(
    world: Annotated[Path, typer.Argument(metavar="WORLD", help="A folder that range build wrote.")],
    found: Annotated[Path, typer.Argument(metavar="FOUND", help="What detect wrote with --out.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge what a defence found in a world."""
    try:
        result = score_world(world, found)
    except SpecError as error:
        stop(str(error))
    if as_json:
        say(msgspec.json.encode(result).decode())
        return
    table = Table(title=f"{sum(c.found for c in result.campaigns)} of {len(result.campaigns)} campaigns found")
    for name in ("campaign", "found", "accounts", "of", "calls", "of", "precision"):
        table.add_column(name, justify="left" if name in ("campaign", "found") else "right")
    for c in result.campaigns:
        row(table, c.name, "yes" if c.found else "MISSED", f"{c.account_recall:.2f}", f"{c.accounts:,}", f"{c.call_recall:.2f}", f"{c.calls:,}", f"{c.call_precision:.2f}")  # fmt: skip
    console = Console()
    if result.campaigns:
        console.print(table)
    touched = ", ".join(f"{n} {cls}" for cls, n in sorted(result.honest_flagged.items())) or "none"
    console.print(
        f"False campaigns: {result.false_campaigns}. Honest accounts touched: {touched}, of {sum(result.honest.values()):,}.",
        highlight=False,
    )
    console.print(f"Camouflage calls attributed: {result.camouflage_flagged:,} of {result.camouflage:,}.", highlight=False)


@app.command("play")
def play_command(
    spec: SpecFile,
    out: Annotated[Path, typer.Option(help="Directory for play.json and play.html.")],
    seed: Seed = 1,
) -> None:
    """Let an adversary with a budget play against detect, day by day."""
    world = _load(spec)
    console = Console(stderr=True)
    out.mkdir(parents=True, exist_ok=True)
    try:
        free = play(world, seed=seed, folder=out, watch=None)
        with Bar(TextColumn("day {task.completed:.0f}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task("play", total=len(free.days))
            watched = watch_days(world, seed=seed, progress=lambda day: bar.update(task, completed=day))
    except SpecError as error:
        stop(f"{spec}: {error}")
    except KeyboardInterrupt:
        stopped("Stopped; nothing was written. Run the same command again to start over.")
    result = {"without": free, "with": watched}
    write_atomically(out / "play.json", lambda p: p.write_bytes(msgspec.json.format(msgspec.json.encode(result))))
    write_atomically(out / "play.html", lambda p: p.write_text(page(free, watched), encoding="utf-8"))
    table = Table(title=f"{world.name}: {len(watched.days)} days")
    for name in ("", "exchanges", "dollars", "exchanges per 1,000 dollars"):
        table.add_column(name, justify="left" if not name else "right")
    for label, game in (("without a defence", free), ("with Stillwatch", watched)):
        row(table, label, f"{game.harvested:,}", f"{game.days[-1].spent:,.0f}", f"{game.per_1000_dollars:,.0f}")
    Console().print(table)
    for s in watched.stages:
        until = "never found" if s.until_found is None else f"found on day {s.found_day} after {s.until_found:,} exchanges"
        say(f"Step {s.step}, from day {s.day + 1}: {until}; {s.harvested:,} in all")
    say(f"Honest accounts touched: {watched.days[-1].honest_touched}")
    say(f"Page: {out / 'play.html'}")


def watch_days(world: WorldSpec, *, seed: int, progress: object = None) -> Outcome:
    """Play a world against ``detect --state``; logs live in a folder of the system's temporary directory while the game goes on."""
    with tempfile.TemporaryDirectory(prefix="stillwatch-play-") as name:
        folder = Path(name)

        def watch(day: Path) -> set[str]:
            settings = Settings([str(day / "calls.jsonl.gz")], folder / "found", day / "accounts.csv", state=folder / "state")
            detect(settings, Progress(), now=time.time())
            return set(pq.read_table(folder / "found" / "accounts.parquet", columns=["account"]).column("account").to_pylist())

        told = progress if callable(progress) else (lambda _: None)
        return play(world, seed=seed, folder=folder, watch=watch, progress=told)


def _load(path: Path) -> WorldSpec:
    try:
        return load_spec(path)
    except SpecError as error:
        stop(str(error))

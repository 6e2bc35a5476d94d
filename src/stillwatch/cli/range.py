"""The range on the command line."""

from __future__ import annotations

import csv
import tempfile
import time
from functools import partial
from hashlib import blake2b
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
from stillwatch.cli.options import place
from stillwatch.range import SpecError, WorldSpec, build_world, load_spec
from stillwatch.range.evade import Attempt, Evasion, Oracle, Remembered, Seen, Stage, scaled, search, with_moves
from stillwatch.range.play import Outcome, play
from stillwatch.range.plots import page
from stillwatch.range.prices import bill, usable
from stillwatch.range.ring import Ring
from stillwatch.range.score import score_leads, score_world
from stillwatch.store import write_atomically
from stillwatch.watch.flow import Progress, Settings, detect

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A TOML file; see docs/range.md and specs/.")]
Seed = Annotated[int, typer.Option(help="Seed of the world; the same seed gives the same bytes.")]


@app.command("build")
def build_command(
    spec: SpecFile,
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for the world.")],
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
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for play.json and play.html.")],
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


@app.command("evade")
def evade_command(
    spec: SpecFile,
    out: Annotated[
        Path,
        typer.Option(
            parser=place,
            metavar="<path>",
            help="Directory for evade.json and the answers so far; a search that was stopped goes on from them.",
        ),
    ],
    accounts: Annotated[
        list[int] | None, typer.Option(min=2, help="Accounts of the ring; may be given several times. Default 30 and 300.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Worlds that a bundle must stay unseen in.")] = 2,
    runs: Annotated[int, typer.Option(min=1, help="Most bundles to try for each size.")] = 40,
) -> None:
    """Find out what it costs the first campaign of a spec to stay unseen."""
    world = _load(spec)
    if not world.campaigns:
        stop(f"{spec}: a search needs a campaign; add [[campaigns]]")
    console = Console(stderr=True)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="stillwatch-evade-") as name:
            oracle = Remembered(out / "answers.jsonl", _mark(world), _judge(world, Path(name)))
            found = []
            for size in accounts or [30, 300]:
                plain = scaled(world.campaigns[0], size)
                found.append(search(plain, world, oracle, seeds=tuple(range(1, seeds + 1)), runs=runs, told=partial(_told, console)))
    except SpecError as error:
        stop(f"{spec}: {error}")
    except KeyboardInterrupt:
        stopped("Stopped; what was tried is kept. Run the same command again to go on.")
    write_atomically(out / "evade.json", lambda p: p.write_bytes(msgspec.json.format(msgspec.json.encode(found))))
    _tell_evasion(world, found)


def _told(console: Console, a: Attempt) -> None:
    console.print(
        f"{a.accounts} accounts, {', '.join(a.moves) or 'plain'}: {a.campaigns:.0%} seen, {a.per_1000:,.2f} dollars", highlight=False
    )


def _mark(world: WorldSpec) -> str:
    """World and defence, but not the search, so that answers about another state of either are not used again."""
    told = blake2b(msgspec.json.encode(world), digest_size=12)
    package = Path(__file__).parents[1]
    for source in sorted(p for room in ("records", "watch", "range") for p in (package / room).rglob("*.py") if p.name != "evade.py"):
        told.update(source.read_bytes())
    return told.hexdigest()


def _judge(world: WorldSpec, folder: Path) -> Oracle:
    """A defence that runs detect on the whole world at once."""
    stage = Stage(world)

    def judge(ring: Ring, seed: int) -> Seen:
        stage.build(ring, seed, folder)
        detect(Settings([str(folder / "calls.jsonl.gz")], folder / "found", folder / "accounts.csv"), Progress(), now=time.time())
        score, leads = score_world(folder, folder / "found"), score_leads(folder, folder / "found")
        held = pq.read_table(folder / "found" / "accounts.parquet", columns=["account"]).column("account").to_pylist()
        with (folder / "truth_accounts.csv").open(newline="") as text:
            own = {r["account"] for r in csv.DictReader(text) if r["campaign"] == ring.name}
        return Seen(len(own & set(held)) / len(own), leads.rings[ring.name] if leads else None, sum(score.honest_flagged.values()))

    return judge


def _tell_evasion(world: WorldSpec, found: list[Evasion]) -> None:
    """Print the price of staying unseen for each size, and for 24,000 accounts what the last size's answer would cost there."""
    table = Table(title=f"{world.name}: dollars per 1,000 usable exchanges")
    for name in ("accounts", "unseen with", "all in all", "beyond the plain ring", "in the first leads"):
        table.add_column(name, justify="left" if name == "unseen with" else "right")
    for e in found:
        if e.best is None:
            row(table, f"{e.accounts:,}", f"nothing that was tried ({e.runs} bundles)", "", "", "")
            continue
        leads = "no leads" if e.best.leads is None else f"{e.best.leads:.0%}"
        row(
            table,
            f"{e.accounts:,}",
            ", ".join(e.best.moves) or "nothing: the plain ring is not seen",
            f"{e.best.per_1000:,.2f}",
            f"{e.best.beyond:,.2f}",
            leads,
        )
    if found and (best := found[-1].best):
        plain = scaled(world.campaigns[0], 24_000)
        rings = [with_moves(plain, moves) for moves in (best.moves, ())]
        each = [1000 * sum(bill(r, world.prices, world.days).values()) / usable(r) for r in rings]
        row(
            table,
            "24,000",
            f"the same, not run: priced from {found[-1].accounts:,} accounts",
            f"{each[0]:,.2f}",
            f"{each[0] - each[1]:,.2f}",
            "",
        )
    Console(width=160).print(table)
    for e in found:
        if e.best:
            say(f"{e.accounts:,} accounts leave behind: {'; '.join(e.leaves)}")


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

"""Detection on the command line.  What runs it is imported when it runs, so that ``detect --help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.console import say, say_json, stop
from stillwatch.cli.options import Alarms, ByKey, Column, Config, Json, Memory, Quiet, Threads, Voice, place

# ruff: noqa: PLC0415

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("detect")
def detect_command(
    logs: Annotated[list[str], typer.Argument(help="Log files, globs or directories (JSON lines, .gz, .zst, Parquet).")],
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for the results.")],
    accounts: Annotated[Path | None, typer.Option(help="Sign-up records, CSV or Parquet; without them fewer traits can be judged.")] = None,
    max_false_alarms: Alarms = None,
    show_text: Annotated[bool, typer.Option("--show-text", help="Print the fixed words of prompt templates in the report.")] = False,
    key: Annotated[Path | None, typer.Option(help="Identity key; made on first use. Default: identity.key in --state or --out.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            parser=place,
            metavar="<path>",
            help="Directory that keeps what was read, so that the next run reads only new files; holds prompts in clear.",
        ),
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.01, help="Look only at so many days up to the newest call; --state forgets the rest.")
    ] = None,
    column: Column = [],  # noqa: B006 - never changed
    account_by_key: ByKey = False,
    by: Annotated[
        str | None, typer.Option(help="Who runs it, for run.json and the case file; default the name the system knows the user by.")
    ] = None,
    memory: Memory = None,
    threads: Threads = None,
    config: Config = None,
    as_json: Json = False,
    quiet: Quiet = False,
    fail_on_found: Annotated[bool, typer.Option("--fail-on-found", help="End with 1 where campaigns are found.")] = False,
) -> None:
    """Find distillation campaigns in API logs."""
    from stillwatch.cli.config import settings
    from stillwatch.cli.running import run_detect

    asked = settings(
        config,
        logs=logs,
        out=out,
        accounts=accounts,
        key=key,
        max_false_alarms=max_false_alarms,
        show_text=show_text,
        state=state,
        window=window,
        column=column,
        account_by_key=account_by_key,
        by=by,
        memory=memory,
        threads=threads,
    )
    run_detect(asked, Voice(as_json, quiet), fail_on_found=fail_on_found)


@app.command("explain")
def explain_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What detect wrote with --out.")],
    campaign: Annotated[str, typer.Argument(help="A campaign's id, or the beginning of it.")],
    as_json: Json = False,
) -> None:
    """Print why a campaign was found, reason by reason in bits, with the calls that show it."""
    from rich.console import Console

    from stillwatch.cli.case import became
    from stillwatch.watch.evidence import campaign_to_json, explain
    from stillwatch.watch.found import FoundError, pick, read_case

    try:
        case = read_case(directory)
        chosen = pick(case.campaigns, campaign, str(directory))
    except FoundError as error:
        if told := became(directory, campaign):
            say(f"Not among the campaigns of {directory}; the case file says of it:\n{told}")
            return
        stop(str(error))
    if as_json:
        say_json(campaign_to_json(chosen))
    else:
        Console().print(explain(chosen, case.run))


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(parser=place, metavar="<path>", help="Directory for the world and the results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the generated world.")] = 7,
) -> None:
    """Build a small world of honest customers and one ring, and detect on it."""
    from stillwatch.cli.running import run_detect
    from stillwatch.range import build_world, small_world
    from stillwatch.watch.flow import Settings

    world = out / "world"
    say(f"Building a small world in {world} (seed {seed}) ...", error=True)
    summary = build_world(small_world(), seed=seed, out=world)
    say(f"{summary.calls:,} calls of {summary.accounts:,} accounts; one ring of {summary.ring_accounts} among them.", error=True)
    run_detect(Settings([str(world / "calls.jsonl.gz")], out / "found", world / "accounts.csv"), Voice())

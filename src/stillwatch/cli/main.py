"""The command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch import __version__
from stillwatch.cli.case import app as case_app
from stillwatch.cli.case import became
from stillwatch.cli.console import Column, columns, run, stop
from stillwatch.cli.hub import hub_app
from stillwatch.cli.key_holder import key_holder_app
from stillwatch.cli.pool import pool_app
from stillwatch.cli.range import range_app
from stillwatch.cli.release import release_app
from stillwatch.share.desk.desk import DeskError
from stillwatch.share.desk.sharing import found_campaign
from stillwatch.watch.evidence import explain, run_from_json
from stillwatch.watch.flow import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Find, prove and stop adversarial distillation."
)
app.add_typer(case_app, name="case")
app.add_typer(release_app, name="release")
app.add_typer(hub_app, name="hub")
app.add_typer(key_holder_app, name="key-holder")
app.add_typer(pool_app, name="pool")
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
    column: Column = [],  # noqa: B006 - never changed
    by: Annotated[
        str | None, typer.Option(help="Who runs it, for run.json and the case file. Default: the system's name of the user.")
    ] = None,
) -> None:
    """Find distillation campaigns in API logs."""
    console = Console(stderr=True)
    run(
        Settings(logs, out, accounts, key, max_false_alarms, show_text, state=state, window=window, columns=columns(column), by=by), console
    )


@app.command("explain")
def explain_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What detect wrote with --out.")],
    campaign: Annotated[str, typer.Argument(help="A campaign's id, or the beginning of it.")],
) -> None:
    """Print why a campaign was found, reason by reason in bits, with the calls that show it."""
    try:
        run_record = run_from_json(json.loads((directory / "run.json").read_text(encoding="utf-8")))
        chosen = found_campaign(directory, campaign)
    except FileNotFoundError as error:
        stop(f"{error.filename}: not there; name the directory that stillwatch detect wrote with --out")
    except DeskError as error:
        if told := became(directory, campaign):
            print(f"Not among the campaigns of {directory}; the case file says of it:\n{told}")
            return
        stop(str(error))
    except ValueError as error:
        stop(f"{directory}: campaigns.jsonl or run.json cannot be read: {error}")
    Console().print(explain(chosen, run_record))


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
    run(Settings([str(world / "calls.jsonl.gz")], out / "found", world / "accounts.csv"), console)


def main() -> None:
    """Entry point of the ``stillwatch`` command."""
    app()


if __name__ == "__main__":
    main()

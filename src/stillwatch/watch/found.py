"""What an earlier run wrote, read back."""

from __future__ import annotations

import json
from pathlib import Path

from stillwatch.records import Campaign, Case, Lead
from stillwatch.watch.evidence import campaign_from_json, lead_from_json, run_from_json


class FoundError(ValueError):
    """Results that cannot be read as asked; the message names the file and says what to do."""


def read_case(directory: Path) -> Case:
    """The case that ``detect --out`` wrote.

    Raises:
        FoundError: it is not there or damaged.
    """
    try:
        run = run_from_json(json.loads((directory / "run.json").read_text(encoding="utf-8")))
        return Case(run, _campaigns(directory), _leads(directory))
    except OSError as error:
        raise FoundError(f"{error.filename}: not there; name the directory that stillwatch detect wrote with --out") from None
    except ValueError as error:
        raise FoundError(f"{directory}: campaigns.jsonl, leads.jsonl or run.json cannot be read: {error}") from None


def found_campaign(directory: Path, named: str) -> Campaign:
    """A campaign that ``detect --out`` wrote, by its id or the beginning of it.

    Raises:
        FoundError: there is none, or several.
    """
    return pick(read_case(directory).campaigns, named, str(directory))


def pick(campaigns: tuple[Campaign, ...], named: str, where: str) -> Campaign:
    """The campaign whose id begins with ``named``.

    Raises:
        FoundError: there is none, or several; ``where`` is said.
    """
    chosen = [c for c in campaigns if c.id.startswith(named)]
    if len(chosen) != 1:
        ids = ", ".join(c.id for c in campaigns) or "none"
        raise FoundError(f"{named}: {'no' if not chosen else 'more than one'} campaign of that id in {where} (there: {ids})")
    return chosen[0]


def _campaigns(directory: Path) -> tuple[Campaign, ...]:
    lines = (directory / "campaigns.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(campaign_from_json(json.loads(line)) for line in lines)


def _leads(directory: Path) -> tuple[Lead, ...]:
    place = directory / "leads.jsonl"
    if not place.exists():  # an earlier version wrote none
        return ()
    return tuple(lead_from_json(json.loads(line)) for line in place.read_text(encoding="utf-8").splitlines())

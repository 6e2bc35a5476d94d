"""Between telling and writing: each campaign gets the name that it keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from stillwatch.watch.case import NAME, CaseFile, Run, sighting
from stillwatch.watch.casefile import Found
from stillwatch.watch.detect import custody
from stillwatch.watch.detect.read import Settings
from stillwatch.watch.detect.tell import Told


def name(told: Told) -> Told:
    """Look up in the case file which of the campaigns were found before, and put the run down in it.

    The case file is in the state, or else beside the results.

    Raises:
        DatabaseError: it cannot be used.
    """
    read = told.tested.people.read
    run, path = told.case.run, case_file(read.settings)
    held = custody.of(read.settings.by, read.now, sum(run.timings.values()), path)
    this = Run(custody.key_of(run.inputs, run.settings), read.now, held.by, run.version, run.inputs)
    with CaseFile(path) as file:
        names = file.name(this, [sighting(f.campaign) for f in told.found])
    found = tuple(_called(f, *n) for f, n in zip(told.found, names, strict=True))
    case = replace(told.case, run=replace(run, custody=held), campaigns=tuple(f.campaign for f in found))
    return replace(told, case=case, found=found)


def case_file(settings: Settings) -> Path:
    """Where a run keeps its campaigns' names."""
    return (settings.state or settings.out) / NAME


def _called(found: Found, name: str, lineage: tuple[str, ...]) -> Found:
    calls = found.calls
    at = calls.schema.get_field_index("campaign")
    named = calls.set_column(at, calls.schema.field(at), pa.array([name] * len(calls), pa.string()))
    return Found(replace(found.campaign, id=name, lineage=lineage), named)

"""Fourth stage: campaigns with all that a reader of the case needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.records import ACCOUNT_RESULTS, ATTRIBUTED, Case, RunRecord
from stillwatch.store import write_together
from stillwatch.version import __version__
from stillwatch.watch.casefile import Builder, Found, Material
from stillwatch.watch.detect.test import Tested
from stillwatch.watch.evidence import SIDE_FILES, campaign_to_json, render_report, run_to_json, to_json_line
from stillwatch.watch.sketch import RECIPE


@dataclass(frozen=True, slots=True)
class Told:
    """A case, and the rows of its campaigns."""

    case: Case
    found: tuple[Found, ...]
    tested: Tested


def tell(tested: Tested) -> Told:
    """Build the campaigns of the rings, look for lone accounts in what is left, and put down how the run went."""
    people, read = tested.people, tested.people.read
    read.progress.enter("case")
    settings = read.settings
    material = Material(read.engine, read.spool, people.calls, tested.family_calls, people.pop, tested.by_family, settings.show_text)
    builder = Builder(material, tested.bits, tested.passing, tested.threshold, settings.max_false_alarms)
    found = builder.rings(tested.rings) + builder.lone(tested.rings)
    found.sort(key=lambda f: -f.campaign.bits)
    read.progress.enter("write")
    run = RunRecord(
        version=__version__,
        recipes={"fingerprints": RECIPE, "families": "minhash-16/8", "evidence": "urn-1"},
        command=settings.command(),
        settings={"max_false_alarms": settings.max_false_alarms, "show_text": settings.show_text, "window": settings.window},
        inputs=tuple(
            {"file": Path(r.path).name, "bytes": r.bytes, "sha256": r.sha256, "calls": r.calls, "rejected": r.rejected}
            for p in (read.parts if settings.state else read.spool.parts)
            for r in p.manifest.sources
        ),
        calls=int(people.pop.calls.sum()),
        accounts=len(people.pop.accounts),
        rejected=read.quarantine.count,
        units_tested=len(tested.bits) + builder.lone_tested,
        threshold_bits=tested.threshold,
        timings=dict(read.progress.timings),
        started=datetime.fromtimestamp(read.now, UTC).isoformat(timespec="seconds"),
        notices=tuple(read.notices),
    )
    return Told(Case(run, tuple(f.campaign for f in found)), tuple(found), tested)


def write(told: Told) -> None:
    """Put the results in place, each file whole or not at all."""
    case, pop = told.case, told.tested.people.pop
    out, now = told.tested.people.read.settings.out, told.tested.people.read.now
    attributed = pa.concat_tables([f.calls for f in told.found]) if told.found else ATTRIBUTED.empty_table()
    calls_of = dict(zip(pop.accounts, pop.calls.tolist(), strict=True))
    results = [
        {"account": s.account, "campaign": c.id, "calls": calls_of[s.account], "attributed_calls": s.attributed_calls, "bits": s.bits}
        for c in case.campaigns
        for s in c.streams
    ]
    lines = "".join(to_json_line(campaign_to_json(c)) for c in case.campaigns)
    table = pa.Table.from_pylist(results, schema=ACCOUNT_RESULTS)
    report = render_report(case, generated_at=now)
    write_together(
        {
            out / "attributed_calls.parquet": lambda p: pq.write_table(attributed, p, compression="zstd"),
            out / "accounts.parquet": lambda p: pq.write_table(table, p, compression="zstd"),
            out / "campaigns.jsonl": lambda p: p.write_text(lines, encoding="utf-8"),
            out / "report.html": lambda p: p.write_text(report.html, encoding="utf-8"),
            **{out / name: partial(_put, body) for name, body in report.files.items()},
            out / "run.json": lambda p: p.write_text(to_json_line(run_to_json(case.run)), encoding="utf-8"),
        }
    )
    for name in set(SIDE_FILES) - set(report.files):  # an earlier run's
        (out / name).unlink(missing_ok=True)


def _put(body: bytes, path: Path) -> None:
    path.write_bytes(body)

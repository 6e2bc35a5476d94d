"""Fourth stage: campaigns with all that a reader of the case needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.records import ACCOUNT_RESULTS, ATTRIBUTED, Case, Lead, RunRecord
from stillwatch.store import undisturbed, write_together
from stillwatch.version import __version__
from stillwatch.watch import campaign, casefile
from stillwatch.watch.detect.calls import COPY
from stillwatch.watch.detect.read import QUARANTINE
from stillwatch.watch.detect.test import Tested
from stillwatch.watch.evidence import SIDE_FILES, campaign_to_json, lead_to_json, render_report, run_to_json, to_json_line
from stillwatch.watch.sketch import ECHO_RECIPE, RECIPE

#: Leads of which it is looked up whether their accounts' keys may be stolen.
VICTIMS: Final = 20


@dataclass(frozen=True, slots=True)
class Told:
    """A case, and the rows of its campaigns."""

    case: Case
    found: tuple[casefile.Found, ...]
    tested: Tested


def tell(tested: Tested) -> Told:
    """Build the campaigns of the rings, look for lone accounts in what is left, and put down how the run went."""
    people, read = tested.people, tested.people.read
    read.progress.enter("case")
    settings = read.settings
    material = casefile.Material(
        read.engine, read.spool, people.calls, tested.family_calls, people.pop, tested.by_family, settings.show_text
    )
    ringed = tested.taken
    found = casefile.rings(material, tested.rings, tested.bits, tested.threshold)
    found += casefile.lone(material, tested.lone, ringed, tested.lone_threshold)
    found.sort(key=lambda f: -f.campaign.bits)
    read.progress.enter("write")
    run = RunRecord(
        version=__version__,
        recipes={"fingerprints": RECIPE, "families": "minhash-16/8", "evidence": "urn-1", "answers": ECHO_RECIPE},
        command=settings.command(),
        settings={
            "max_false_alarms": settings.max_false_alarms,
            "show_text": settings.show_text,
            "window": settings.window,
            "columns": dict(settings.columns),
            "trusted_proxies": settings.trusted_proxies,
            "account_by_key": settings.account_by_key,
        },
        inputs=(
            *(
                {"file": Path(r.path).name, "bytes": r.bytes, "sha256": r.sha256, "calls": r.calls, "rejected": r.rejected}
                for r in (read.view.sources if settings.state else read.spool.parts[0].manifest.sources)
            ),
            *read.inputs,
        ),
        calls=int(people.pop.calls.sum()),
        accounts=len(people.pop.accounts),
        rejected=read.quarantine.count,
        copies=read.quarantine.times(*COPY),
        units_tested=len(tested.bits) + len(tested.lone),
        threshold_bits=tested.threshold,
        timings=dict(read.progress.timings),
        started=datetime.fromtimestamp(read.now, UTC).isoformat(timespec="seconds"),
        notices=tuple(read.notices),
    )
    return Told(Case(run, tuple(f.campaign for f in found), _leads(tested, material)), tuple(found), tested)


def _leads(tested: Tested, material: casefile.Material) -> tuple[Lead, ...]:
    """The leads as records; a lead is named by its accounts, so that the same group has the same name in the next run."""
    pop = tested.people.pop
    out: list[Lead] = []
    stolen = material.victims([tested.prompts.calls(j.score)[0] for j in tested.leads[:VICTIMS]])
    stolen += [""] * (len(tested.leads) - len(stolen))
    for j, victims in zip(tested.leads, stolen, strict=True):
        s, g = j.score, j.score.group
        names = tuple(pop.accounts[w] for w in campaign.hidden(pop, s).tolist())
        hand = round(s.bits, 1)
        told = {"deck", "breadth", *g.chosen}
        said = [victims]
        said += [f.text for f in sorted(j.findings, key=lambda f: -f.bits) if f.bits >= campaign.LEG or f.id in told]
        out.append(
            Lead(
                id=f"l-{blake2b(chr(0).join(names).encode('utf-8', 'replace'), digest_size=5).hexdigest()}",
                bits={"hand": hand, "hidden": 0.0, "harvest": round(campaign.harvest_bits(j.harvest), 1)},
                accounts=names,
                calls=int(g.calls.sum()),
                families=(f"{RECIPE}:{g.family & (2**64 - 1):016x}",) if g.family is not None else (),
                first=float(g.first.min()),
                last=float(g.last.max()),
                why=" ".join(filter(None, said)),
                why_not=j.why_not,
                settle=j.settle,
            )
        )
    return tuple(out)


def write(told: Told) -> None:
    """Put the results in place, all of them or none."""
    case, pop, read = told.case, told.tested.people.pop, told.tested.people.read
    out, now = read.settings.out, read.now
    attributed = pa.concat_tables([f.calls for f in told.found]) if told.found else ATTRIBUTED.empty_table()
    calls_of = dict(zip(pop.accounts, pop.calls.tolist(), strict=True))
    results = [
        {"account": s.account, "campaign": c.id, "calls": calls_of[s.account], "attributed_calls": s.attributed_calls, "bits": s.bits}
        for c in case.campaigns
        for s in c.streams
    ]
    lines = "".join(to_json_line(campaign_to_json(c)) for c in case.campaigns)
    leads = "".join(to_json_line(lead_to_json(x)) for x in case.leads)
    table = pa.Table.from_pylist(results, schema=ACCOUNT_RESULTS)
    report = render_report(case, generated_at=now)
    with undisturbed():
        write_together(
            {
                out / "attributed_calls.parquet": lambda p: pq.write_table(attributed, p, compression="zstd"),
                out / "accounts.parquet": lambda p: pq.write_table(table, p, compression="zstd"),
                out / "campaigns.jsonl": lambda p: p.write_text(lines, encoding="utf-8"),
                out / "leads.jsonl": lambda p: p.write_text(leads, encoding="utf-8"),
                out / "report.html": lambda p: p.write_text(report.html, encoding="utf-8"),
                **{out / name: partial(_put, body) for name, body in report.files.items()},
                out / QUARANTINE: read.quarantine.move,
                out / "run.json": lambda p: p.write_text(to_json_line(run_to_json(case.run)), encoding="utf-8"),
            }
        )
        for name in set(SIDE_FILES) - set(report.files):  # an earlier run's
            (out / name).unlink(missing_ok=True)
        read.progress.placed = True


def _put(body: bytes, path: Path) -> None:
    path.write_bytes(body)

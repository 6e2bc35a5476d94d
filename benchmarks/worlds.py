"""What detect finds on each world of specs/, as a table; misses are shown as misses.

    python -m benchmarks.worlds [--seeds 1 2 3] [SPEC ...]

Figures are means over the seeds, with the least and the most where they differ.  A ring is found with the first leads where a campaign, or those of the
first 20 leads that are mostly its own, hold half of its accounts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from stillwatch.range import build_world, load_spec
from stillwatch.range.score import score_leads, score_world
from stillwatch.watch.flow import Progress, Settings, detect


def _spread(values: list[float]) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.2f}" if max(values) - min(values) < 0.005 else f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", type=Path)
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    args = parser.parse_args()
    specs = args.specs or sorted((Path(__file__).parents[1] / "specs").glob("*.toml"))
    print(f"seeds {args.seeds}")
    print(
        "| world | calls | harvest share | found | with first leads | account recall | call recall | call precision | until found | false campaigns | honest touched |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for path in specs:
        spec = load_spec(path)
        rows, near, calls, share, until, false, touched, honest = [], 0, 0, 0.0, [], 0, 0, 0
        for seed in args.seeds:
            with tempfile.TemporaryDirectory() as name:
                out = Path(name)
                made = build_world(spec, seed=seed, out=out, processes=1)
                case = detect(Settings([str(out / "calls.jsonl.gz")], out / "found", out / "accounts.csv"), Progress(), now=time.time())
                result = score_world(out, out / "found")
                led = score_leads(out, out / "found")
            rows += result.campaigns
            near += sum(c.found or (led is not None and led.rings.get(c.name, 0.0) >= 0.5) for c in result.campaigns)
            calls += made.calls
            share += sum(made.streams[c.name] for c in spec.campaigns) / made.calls / len(args.seeds)
            until += [c.calls_until_found for c in case.campaigns if c.calls_until_found is not None]
            false += result.false_campaigns
            touched += sum(result.honest_flagged.values())
            honest += sum(result.honest.values())
        found = f"{sum(r.found for r in rows)}/{len(rows)}" if rows else "none to find"
        figures = [_spread([getattr(r, f) for r in rows]) if rows else "" for f in ("account_recall", "call_recall", "call_precision")]
        if rows and not any(r.found for r in rows):
            found = f"**missed** ({found})"
        print(
            f"| {spec.name} | {calls // len(args.seeds):,} | {share:.1%} | {found} | {f'{near}/{len(rows)}' if rows else ''} | {' | '.join(figures)} | "
            f"{max(until) if until else ''} | {false} | {touched}/{honest:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

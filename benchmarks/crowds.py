"""What detect makes of worlds full of honest crowds, with a ring or without: one line a seed, then sums.

    python -m benchmarks.crowds [--seeds 30] [SPEC ...]     default: specs/crowds/*.toml
    python -m benchmarks.crowds --sample 7                  print the crowds that seed 7 draws, every parameter filled in, as a spec

A ring is found where one campaign has half of its accounts and consists for half of it, and is in the first leads where those of which it is half hold half
of its accounts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from stillwatch.range import build_world, load_spec
from stillwatch.range.crowds.work import sample
from stillwatch.range.score import score_leads, score_world
from stillwatch.watch.flow import Progress, Settings, detect


def print_sample(seed: int) -> None:
    """Print a spec of one crowd of each kind, drawn by ``seed``."""
    print(f'name = "crowds-{seed}"\nnote = "Every kind of honest crowd as seed {seed} draws them"\nanswers = true\ncampaigns = []')
    for crowd in sample(Random(seed)):
        print("[[honest.crowds]]")
        for field in crowd.__struct_fields__:
            value = getattr(crowd, field)
            print(f'{field} = "{value}"' if isinstance(value, str) else f"{field} = {value:g}")


def run(path: Path, seeds: range, organisations: str | None = None) -> None:
    """Print a line for each seed of a spec, and their sums."""
    spec = load_spec(path)
    if organisations:
        spec = msgspec.structs.replace(spec, organisations=organisations)
    false = honest = touched = leads = rings = caught = led = 0
    recalls: list[float] = []
    precisions: list[float] = []
    classes: Counter[str] = Counter()
    print(f"\n{spec.name}: {spec.note}", flush=True)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            out = Path(name)
            made = build_world(spec, seed=seed, out=out, processes=1)
            since = time.perf_counter()
            detect(Settings([str(out / "calls.jsonl.gz")], out / "found", out / "accounts.csv"), Progress(), now=time.time())
            took = time.perf_counter() - since
            result, first = score_world(out, out / "found"), score_leads(out, out / "found")
        hit = {c.name for c in result.campaigns if c.found}
        near = hit | ({r for r, share in first.rings.items() if share >= 0.5} if first else set())
        n = sum(result.honest_flagged.values())
        false, honest, touched = false + result.false_campaigns, honest + sum(result.honest.values()), touched + n
        rings, caught, led = rings + len(result.campaigns), caught + len(hit), led + len(near)
        leads += first.honest if first else 0
        recalls += [c.account_recall for c in result.campaigns]
        precisions += [c.call_precision for c in result.campaigns if c.found]
        classes.update(result.honest_flagged)
        print(
            f"seed {seed}: {made.calls:,} calls, {made.accounts:,} accounts, {took:.0f} s; false campaigns {result.false_campaigns}, honest in campaigns {n}, "
            f"honest in first leads {first.honest if first else 'no leads'}; rings in campaigns {len(hit)}/{len(result.campaigns)}, with leads {len(near)}"
            + "".join(
                f"; {c.name} {'found' if c.found else 'led' if c.name in near else 'MISSED'} {c.account_recall:.2f}"
                for c in result.campaigns
            ),
            flush=True,
        )
    print(
        f"in all: {false} false campaigns; {touched} of {honest:,} honest accounts in campaigns, {leads} in first leads; by crowd {dict(classes.most_common())}"
    )
    if rings:
        of_found = f"{sum(precisions) / len(precisions):.2f}" if precisions else "-"
        print(
            f"rings: {caught}/{rings} in campaigns, {led}/{rings} with leads; account recall {sum(recalls) / rings:.2f}, call precision of the found {of_found}"
        )


def main() -> None:
    """Run the specs that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=30, help="run seeds 1 to so many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--sample", type=int, metavar="SEED")
    parser.add_argument(
        "--organisations", choices=["none", "some", "all"], help="organisation ids on accounts, instead of what the spec says"
    )
    args = parser.parse_args()
    if args.sample is not None:
        print_sample(args.sample)
        return
    for path in args.specs or sorted((Path(__file__).parents[1] / "specs" / "crowds").glob("*.toml")):
        run(path, range(args.first, args.first + args.seeds), args.organisations)


if __name__ == "__main__":
    main()

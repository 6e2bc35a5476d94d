"""What is commonly done, on the same labelled world as Stillwatch, in one run.

    python -m benchmarks.baselines WORLD [--ours FOUND]

WORLD has calls.jsonl.gz, accounts.csv, truth_calls.csv.gz and truth_accounts.csv.  Each baseline flags accounts, or windows of calls, with its customary
threshold; "oracle" rows get the one threshold that does best on the truth, which nobody has in life.  Replies are not looked at.

Sources: isolation forest, Liu et al., ICDM 2008; SynchroTrap, Cao et al., CCS 2014; MinHash LSH, Broder 1997, by datasketch; PRADA, Juuti et al., EuroS&P
2019; window MMD after arXiv 2606.05725, which knows windows and no accounts: an account is flagged when most of its calls lie in flagged windows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy import sparse, stats
from scipy.sparse.csgraph import connected_components

SEED = 23


@dataclass
class World:
    """Calls as columns, accounts as codes."""

    ids: list[str]
    who: np.ndarray
    at: np.ndarray
    text: list[str]
    address: list[str]
    agent: list[str]
    accounts: list[str]
    card: list[str]
    stream: list[str]
    campaign: dict[str, str]


def load(folder: Path) -> World:
    truth = {r["id"]: r["stream"] for r in csv.DictReader(gzip.open(folder / "truth_calls.csv.gz", "rt"))}
    campaign = {r["account"]: r["campaign"] for r in csv.DictReader((folder / "truth_accounts.csv").open())}
    cards = {r["account"]: r["payment_fingerprint"] for r in csv.DictReader((folder / "accounts.csv").open())}
    code: dict[str, int] = {}
    w = World([], np.empty(0), np.empty(0), [], [], [], [], [], [], campaign)
    who, at = [], []
    for line in gzip.open(folder / "calls.jsonl.gz"):
        d = json.loads(line)
        w.ids.append(d["id"])
        who.append(code.setdefault(d["metadata"]["user_api_key_user_id"], len(code)))
        at.append(d["startTime"])
        w.text.append(" ".join(m["content"] for m in d["messages"] if m["role"] != "assistant" and isinstance(m["content"], str)))
        w.address.append(d["requester_ip_address"])
        w.agent.append(d["user_agent"])
        w.stream.append(truth[d["id"]])
    w.who, w.at, w.accounts = np.array(who), np.array(at), list(code)
    w.card = [cards.get(a, "") for a in w.accounts]
    return w


def embed(texts: Iterable[str], width: int = 256) -> np.ndarray:
    """Hashed bags of words, square-rooted and of unit length; no model, no vocabulary."""
    from sklearn.feature_extraction.text import HashingVectorizer

    dense: np.ndarray = HashingVectorizer(n_features=width, alternate_sign=False, norm=None).transform(texts).toarray()
    dense = np.sqrt(dense)
    return dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)


def groups_of(w: World, links: Iterable[tuple[int, int]], least: int) -> set[int]:
    """Accounts in connected components of at least ``least``."""
    pairs = np.array(sorted(set(links)) or [(0, 0)])
    n = len(w.accounts)
    _, label = connected_components(sparse.coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n)), directed=False)
    sizes = np.bincount(label)
    return set(np.flatnonzero(sizes[label] >= least).tolist())


def volume(w: World) -> np.ndarray:
    """Score of each account: its busiest day."""
    day = ((w.at - w.at.min()) // 86400).astype(int)
    return np.array([max(Counter(day[w.who == a]).values()) for a in range(len(w.accounts))], float)


def forest(w: World) -> np.ndarray:
    """Score of each account: isolation forest on rates, hours, lengths and spread."""
    from sklearn.ensemble import IsolationForest

    rows = []
    for a in range(len(w.accounts)):
        mine = np.flatnonzero(w.who == a)
        hours = (w.at[mine] // 3600) % 24
        sizes = [len(w.text[i]) for i in mine]
        rows.append(
            [
                len(mine),
                np.ptp(w.at[mine]),
                len(set(hours)),
                np.mean(sizes),
                np.std(sizes),
                len({w.address[i] for i in mine}),
                len({w.agent[i] for i in mine}),
            ]
        )
    table = np.log1p(np.array(rows, float))
    return -IsolationForest(random_state=SEED).fit(table).score_samples(table)


def synchrotrap(w: World) -> set[int]:
    """Accounts that shared addresses or whole prompts within an hour, Jaccard at least 0.5 over at least two such meetings, in groups of three."""
    marks: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    own: dict[int, set[tuple[str, str, int]]] = defaultdict(set)
    for i, a in enumerate(w.who.tolist()):
        for key in (("address", w.address[i], int(w.at[i] // 3600)), ("text", w.text[i], int(w.at[i] // 3600))):
            marks[key].add(a)
            own[a].add(key)
    met = Counter(p for who in marks.values() if 1 < len(who) < 200 for p in combinations(sorted(who), 2))
    return groups_of(w, [p for p, n in met.items() if n >= 2 and n / len(own[p[0]] | own[p[1]]) >= 0.5], 3)


def minhash(w: World) -> set[int]:
    """Accounts whose prompts are near-duplicates (word 5-grams, Jaccard 0.7), in groups of three."""
    from datasketch import MinHash, MinHashLSH

    lsh, held = MinHashLSH(threshold=0.7, num_perm=64), []
    for i, text in enumerate(w.text):
        words = text.lower().split()[:400]
        m = MinHash(num_perm=64)
        m.update_batch([" ".join(words[k : k + 5]).encode() for k in range(max(1, len(words) - 4))])
        held.append(m)
        lsh.insert(str(i), m)
    links = set()
    for i, m in enumerate(held):
        links |= {tuple(sorted((int(w.who[i]), int(w.who[int(j)])))) for j in lsh.query(m)[:50] if w.who[int(j)] != w.who[i]}
    return groups_of(w, links, 3)


def prada(w: World) -> np.ndarray:
    """Score of each account: how far its queries' least distances to earlier ones are from normal (1 - Shapiro-Wilk's W)."""
    vectors = embed(w.text)
    scores = np.zeros(len(w.accounts))
    for a in range(len(w.accounts)):
        mine = np.flatnonzero(w.who == a)[:500]
        if len(mine) < 10:
            continue
        near = vectors[mine] @ vectors[mine].T
        least = np.array([1 - near[i, :i].max() for i in range(1, len(mine))])
        scores[a] = 1 - stats.shapiro(least).statistic if np.ptp(least) > 0 else 1.0
    return scores


def window_mmd(w: World) -> set[int]:
    """Windows of 500 calls against half of the first window's worth of the most usual calls; permutation threshold at 0.3 %."""
    rng = np.random.default_rng(SEED)
    order = np.argsort(w.at, kind="stable")
    vectors = embed([w.text[i] for i in order])
    reference = vectors[: len(vectors) // 10]
    sample = reference[rng.choice(len(reference), 500, replace=False)]
    gamma = 1 / np.median(((sample[:200, None] - sample[None, 200:400]) ** 2).sum(-1))

    def mmd(a: np.ndarray, b: np.ndarray) -> float:
        def k(x: np.ndarray, y: np.ndarray) -> float:
            return float(np.exp(-gamma * np.maximum(2 - 2 * x @ y.T, 0)).mean())

        return k(a, a) + k(b, b) - 2 * k(a, b)

    null = [mmd(reference[p[:500]], reference[p[500:1000]]) for p in (rng.permutation(len(reference)) for _ in range(300))]
    limit = np.quantile(null, 0.997)
    flagged = np.zeros(len(w.ids), bool)
    for start in range(0, len(order) - 499, 500):
        if mmd(vectors[start : start + 500], sample) > limit:
            flagged[order[start : start + 500]] = True
    share = np.bincount(w.who, flagged, len(w.accounts)) / np.bincount(w.who, minlength=len(w.accounts))
    return set(np.flatnonzero(share > 0.5).tolist())


def measure(w: World, calls: set[int], accounts: set[int]) -> dict[str, object]:
    """Campaigns of which half of the accounts are flagged, recall of their accounts, precision in calls, honest accounts flagged."""
    names = sorted(set(w.campaign.values()) - {""})
    members = {n: {i for i, a in enumerate(w.accounts) if w.campaign[a] == n} for n in names}
    recall = [len(members[n] & accounts) / len(members[n]) for n in names]
    honest = [i for i, a in enumerate(w.accounts) if not w.campaign[a]]
    hits = sum(w.stream[i] in names for i in calls)
    return {
        "campaigns touched": f"{sum(r >= 0.5 for r in recall)}/{len(names)}",
        "account recall": float(np.mean(recall)),
        "call precision": hits / len(calls) if calls else 0.0,
        "honest accounts flagged": f"{len(accounts & set(honest))}/{len(honest)}",
    }


def by_accounts(w: World, accounts: set[int]) -> dict[str, object]:
    return measure(w, {i for i, a in enumerate(w.who.tolist()) if a in accounts}, accounts)


def above(scores: np.ndarray, limit: float) -> set[int]:
    return set(np.flatnonzero(scores >= limit).tolist())


def oracle(w: World, scores: np.ndarray) -> set[int]:
    """The threshold with the best F1 over accounts."""
    guilty = {i for i, a in enumerate(w.accounts) if w.campaign[a]}
    return max((above(scores, t) for t in np.unique(scores)), key=lambda s: 2 * len(s & guilty) / (len(s) + len(guilty)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("--ours", type=Path, help="what stillwatch detect wrote for the same world")
    given = parser.parse_args()
    w = load(given.world)
    print(f"seed {SEED}\n")
    print("| method | campaigns touched | account recall | call precision | honest accounts flagged | s |\n|---|---|---|---|---|---|")

    def row(name: str, run: Callable[[], dict[str, object]]) -> None:
        start = time.process_time()
        r = run()
        cells = [f"{v:.2f}" if isinstance(v, float) else str(v) for v in r.values()]
        print(f"| {name} | {' | '.join(cells)} | {time.process_time() - start:.1f} |", flush=True)

    row("volume, 100 calls a day", lambda: by_accounts(w, above(volume(w), 100)))
    row("volume, oracle", lambda: by_accounts(w, oracle(w, volume(w))))
    scores = forest(w)
    row("isolation forest, 5 %", lambda: by_accounts(w, above(scores, np.quantile(scores, 0.95))))
    row("isolation forest, oracle", lambda: by_accounts(w, oracle(w, scores)))
    row("SynchroTrap-like", lambda: by_accounts(w, synchrotrap(w)))
    row("MinHash co-similarity", lambda: by_accounts(w, minhash(w)))
    normal = prada(w)
    row("PRADA, W < 0.9", lambda: by_accounts(w, above(normal, 0.1)))
    row("PRADA, oracle", lambda: by_accounts(w, oracle(w, normal)))
    row("window MMD, 0.3 %", lambda: by_accounts(w, window_mmd(w)))
    if given.ours:
        place = {c: i for i, c in enumerate(w.ids)}
        code = {a: i for i, a in enumerate(w.accounts)}
        rows = pq.read_table(given.ours / "attributed_calls.parquet").to_pylist()
        run = json.loads((given.ours / "run.json").read_text())
        start = sum(run["timings"].values())
        r = measure(w, {place[x["call_id"]] for x in rows}, {code[x["account"]] for x in rows})
        cells = [f"{v:.2f}" if isinstance(v, float) else str(v) for v in r.values()]
        print(f"| **stillwatch** | {' | '.join(cells)} | {start:.1f} |")


if __name__ == "__main__":
    main()

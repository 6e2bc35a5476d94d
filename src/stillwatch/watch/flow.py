"""The whole stream on one screen: logs in, campaigns with evidence out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import chain
from pathlib import Path

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillwatch import __version__
from stillwatch.records import ACCOUNT_RESULTS, ACCOUNTS, ATTRIBUTED, Case, Notice, RunRecord
from stillwatch.store import Engine, Source, Spool, write_atomically
from stillwatch.watch import campaign, link
from stillwatch.watch.casefile import Builder, Material
from stillwatch.watch.evidence import campaign_to_json, render_report, run_to_json, to_json_line
from stillwatch.watch.intake import Identity, Quarantine, Reader, canonical, expand, load_or_create_key, read_accounts
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch import RECIPE, sketch_batch

HARNESS = ["client", "system", "tools"]
#: Addresses and prompts of an account that are sent for matching.
ADDRESSES = 4
PROMPTS = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is asked to do."""

    logs: Sequence[str]
    out: Path
    accounts: Path | None = None
    key: Path | None = None
    max_false_alarms: float = 0.01
    show_text: bool = False
    memory: str = "3GB"
    state: Path | None = None
    window: float | None = None  # days up to the newest call


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A group below the threshold that is worth asking partners about; traits by kind, in clear."""

    bits: float
    accounts: frozenset[str]
    first: float
    last: float


@dataclass(slots=True)
class Look:
    """What pooled detection adds to a run: what partners answered goes in, suspicions and the suspects' traits come out.

    ``asked`` and ``shared`` are values by kind of trait: sent for matching, and found with partners too.  ``groups`` are the accounts of each suspicion of the
    first look.  ``traits`` are account -> kind -> values.
    """

    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: Sequence[frozenset[str]] = ()
    suspicions: list[Suspicion] = field(default_factory=list)
    traits: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """What the flow tells its caller while it works; the console draws it."""

    step: Callable[[str], None] = lambda _: None
    size: Callable[[int], None] = lambda _: None
    read: Callable[[int], None] = lambda _: None
    timings: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)
    _name: str = ""

    def enter(self, name: str) -> None:
        """End the step before and begin ``name``."""
        now = time.perf_counter()
        if self._name:
            self.timings[self._name] = round(now - self._since, 3)
        self._since, self._name = now, name
        if name:
            self.step(name)


def detect(settings: Settings, progress: Progress, *, now: float, look: Look | None = None) -> Case:
    """Find campaigns in logs and write the results to ``settings.out``.

    Output files appear whole or not at all; whatever breaks the run off, the spool of texts is removed.  With a state, files that it holds are not read
    again, and the answer is that of one run over everything it holds.  ``look`` is for pooled detection, and not with a state.

    Raises:
        IntakeError: the input as a whole cannot be used.
        StateError: the state cannot be gone on with.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    if settings.state is not None:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = load_or_create_key(settings.key or (settings.state or settings.out) / "identity.key")
    identity = Identity(key, remember=look is not None)
    named = expand(settings.logs)
    notices: list[str] = []
    with ExitStack() as stack:
        quarantine = stack.enter_context(Quarantine(settings.out / "quarantine.jsonl"))
        mark = blake2b(key, digest_size=8, person=b"sw-state").hexdigest()
        spool = stack.enter_context(Spool(settings.out, state=settings.state, recipe=RECIPE, key=mark))
        files = [f for f in named if not spool.known(f)]
        if len(files) < len(named):
            notices.append(f"{len(named) - len(files)} files were in the state already and were not read again")
        progress.size(sum(f.stat().st_size for f in files))

        progress.enter("read and sketch")
        accounts = read_accounts(settings.accounts, identity, quarantine) if settings.accounts else ACCOUNTS.empty_table()
        reader = Reader(identity, quarantine, progress=progress.read)
        changed = {str(f): f.stat().st_mtime_ns for f in files}
        for batch in reader.read(files):
            spool.add(batch, sketch_batch(batch, spool.next_call))
        if settings.state is not None:
            quarantine.close()  # the part that comes into the state now takes its rejects with it
        read = [Source(str(Path(r.file).resolve()), r.bytes, changed[r.file], r.sha256, r.calls, r.rejected) for r in reader.reports]
        spool.finish(read, settings.out / "quarantine.jsonl")
        notices += reader.notices
        begin, parts = spool.since(None if settings.window is None else settings.window * campaign.DAY)
        engine = stack.enter_context(Engine(spool.folder, memory=settings.memory))
        raw = engine.parquet([p.sketches for p in parts or spool.parts[-1:]])
        if settings.window is not None:
            raw = raw.filter(nw.col("at") > begin)

        progress.enter("accounts")
        repeated = engine.fetch(link.duplicates(raw))
        if repeated.num_rows:
            extra = int(pc.sum(repeated.column("n")).as_py()) - repeated.num_rows
            quarantine.count += extra
            quarantine.by_reason["call id: repeated; the earliest is kept"] += extra
            notices.append(f"{extra} calls repeat an id that was seen already; the earliest of each was kept")
            raw = engine.keep("distinct_calls", link.first_of_duplicates(raw, engine.keep("repeated", repeated)))
        accounts = _with_mail(accounts, engine.fetch(link.mail_of(raw)))
        addresses = engine.fetch(link.account_addresses(raw)).sort_by([("account", "ascending"), ("address_ref", "ascending")])
        owners, joined = campaign.owners(engine.fetch(link.activity(raw)), accounts, addresses)
        calls = engine.keep("calls", link.with_owner(raw, engine.keep("owners", owners)))
        by_harness = engine.fetch(link.streams(link.harness_calls(calls), HARNESS))
        pop = campaign.describe(joined, owners.column("owner").to_numpy(), addresses, by_harness)
        if look is not None:
            own = _traits(pop, joined, identity)
            pop = _with_partners(pop, own, look)
        early = int((pop.first < pop.created).sum())
        if early:
            notices.append(f"{early} accounts called before the sign-up record says they were created: check the clocks")

        progress.enter("families")
        prints = engine.keep("prints", link.print_calls(calls))
        recurring = engine.keep("recurring", link.recurring(prints))
        families = engine.keep("families", link.group_prints(engine.fetch(link.sampled(prints, recurring))))
        of = engine.keep("call_families", link.call_families(prints, families))
        engine.drop("prints")

        progress.enter("streams")
        large = link.family_spread(calls, of).filter(
            ((nw.col("owners") >= 3) & (nw.col("calls") >= 8)) | (nw.col("calls") >= campaign.MIN_CALLS_ALONE)
        )
        in_family = engine.keep("family_calls", link.family_calls(calls, of, engine.keep("large", large)))
        by_family = engine.fetch(link.streams(in_family, ["family"]))

        progress.enter("test groups")
        least = campaign.threshold_bits(1, settings.max_false_alarms)
        tested: list[float] = []
        passing: dict[int, campaign.Score] = {}
        thin = max(40, len(pop.accounts) // 50)  # a larger group is no thin ring but a part of the population
        for group in chain(
            campaign.groups(by_family, ["family"], pop, by_client=True),
            campaign.groups(by_harness, HARNESS, pop, by_client=False),
            campaign.pool_groups(by_harness, HARNESS, pop),
        ):
            scored = campaign.score(pop, group, least)
            # There may be a million groups; only those that can still pass are kept whole.
            if scored.passes(least):
                passing[len(tested)] = scored
            if look is not None and len(group.who) <= thin and (scored.passes(least) or scored.suspicious()):
                hidden = group.who[~pop.declared[group.who]]
                names = frozenset(pop.accounts[w] for w in hidden)
                look.suspicions.append(Suspicion(scored.bits, names, float(group.first.min()), float(group.last.max())))
                look.traits.update((pop.accounts[w], own[w]) for w in hidden)
            tested.append(scored.bits)
        threshold = campaign.threshold_bits(len(tested), settings.max_false_alarms)
        if look is not None and look.traits:
            place = {a: i for i, a in enumerate(pop.accounts)}
            suspects = pa.table({"who": pa.array(sorted(place[a] for a in look.traits), pa.int64())})
            for who, some in _prompts(engine, calls, suspects).items():
                own[who]["template"] = some
            look.traits = {a: own[place[a]] for a in look.traits}
        rings = campaign.rings(pop, list(passing.values()), threshold)

        progress.enter("case")
        material = Material(engine, spool, calls, in_family, pop, by_family, settings.show_text)
        builder = Builder(material, tested, passing, threshold, settings.max_false_alarms)
        found = builder.rings(rings) + builder.lone(rings)
        found.sort(key=lambda f: -f.campaign.bits)

        progress.enter("write")
        total = pop.calls.sum()
        run = RunRecord(
            version=__version__,
            recipes={"fingerprints": RECIPE, "families": "minhash-16/8", "evidence": "urn-1"},
            command=_command(settings),
            settings={"max_false_alarms": settings.max_false_alarms, "show_text": settings.show_text, "window": settings.window},
            inputs=tuple(
                {"file": Path(r.path).name, "bytes": r.bytes, "sha256": r.sha256, "calls": r.calls, "rejected": r.rejected}
                for p in (parts if settings.state else spool.parts)
                for r in p.manifest.sources
            ),
            calls=int(total),
            accounts=len(pop.accounts),
            rejected=quarantine.count,
            units_tested=len(tested) + builder.lone_tested,
            threshold_bits=threshold,
            timings=dict(progress.timings),
            started=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            notices=tuple(Notice("note", n) for n in notices),
        )
        case = Case(run, tuple(f.campaign for f in found))
        _write(settings.out, case, found, pop, now)
        if settings.window is not None:
            spool.forget(begin)
    progress.enter("")
    return case


def _traits(pop: campaign.Population, joined: Sequence[Mapping[str, object]], identity: Identity) -> list[dict[str, frozenset[str]]]:
    """[accounts] canonical values by kind of trait: cards, addresses, and mail domains that few use."""
    out = []
    few = max(3, len(pop.accounts) // 100)
    for who, row in enumerate(joined):
        mine: dict[str, frozenset[str]] = {}
        if card := identity.plain(str(row.get("payment_ref"))):
            mine["payment"] = frozenset({canonical(card)})
        box, domain = identity.plain(str(row.get("mail_ref"))), identity.plain(str(row.get("mail_domain_ref")))
        named = {f"mail {canonical(box)}"} if box else set()
        code = pop.mail_domain.codes[who]
        if domain and code >= 0 and pop.mail_domain.counts[code] <= few:
            named.add(f"domain {canonical(domain)}")
        if named:
            mine["registration"] = frozenset(named)
        _, codes = pop.addresses(np.array([who]))
        rarest = sorted(codes.tolist(), key=lambda c: (pop.address_counts[c], c))[:ADDRESSES]
        places = (identity.plain(pop.address_labels[c]) for c in rarest if pop.address_counts[c] <= campaign.CROWD)
        if found := frozenset(canonical(p) for p in places if p):
            mine["network"] = found
        out.append(mine)
    return out


def _prompts(engine: Engine, calls: Frame, suspects: pa.Table) -> dict[int, frozenset[str]]:
    """who -> up to ``PROMPTS`` hashes of prompts of theirs that nobody else here has sent; the least hashes, as at every lab."""
    chosen = calls.join(engine.keep("suspects", suspects), on="who", how="semi").select("text")
    senders = calls.join(chosen.unique(), on="text", how="semi").group_by("text").agg(least=nw.col("who").min(), most=nw.col("who").max())
    rows = engine.fetch(senders.filter(nw.col("least") == nw.col("most")).select("text", who="least"))
    engine.drop("suspects")
    by: dict[int, list[int]] = {}
    for who, text in zip(rows.column("who").to_pylist(), rows.column("text").to_pylist(), strict=True):
        by.setdefault(who, []).append(text & (2**64 - 1))
    return {who: frozenset(f"{RECIPE}:{t:016x}" for t in sorted(some)[:PROMPTS]) for who, some in by.items()}


def _with_partners(pop: campaign.Population, own: Sequence[Mapping[str, frozenset[str]]], look: Look) -> campaign.Population:
    """The population with what partners share of each account's traits.

    Who shows one name everywhere - the same mail address or domain of his own, with the same card or address - and is verified or has a domain of his own is
    an open customer of several labs: that is a known relation and no evidence.
    """

    def hits(kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        asked, shared = look.asked.get(kind, frozenset()), look.shared.get(kind, frozenset())
        mine = [o.get(kind, frozenset()) for o in own]
        return np.array([bool(m & asked) for m in mine], bool), np.array([bool(m & shared) for m in mine], bool)

    flags, anything = {}, np.zeros(len(own), bool)
    for kind in ("payment", "network"):  # a shared prompt only moves a suspicion up the queue: short ones meet by chance
        asked, shared = hits(kind)
        flags[kind] = np.where(shared, 1, np.where(asked, 0, -1)).astype(np.int8)
        anything |= shared
    _, named = hits("registration")
    domain = np.array([any(v.startswith("domain ") for v in o.get("registration", ())) for o in own], bool)
    open_customer = named & anything & ((pop.verified == 1) | domain)
    for f in flags.values():
        f[open_customer] = -1
    place = {a: i for i, a in enumerate(pop.accounts)}
    rates = {kind: _usual_share(f, look.groups, place) for kind, f in flags.items()}
    return replace(pop, partners=flags, partner_rates=rates, declared=pop.declared | open_customer)


def _usual_share(flags: NDArray[np.int8], groups: Sequence[frozenset[str]], place: Mapping[str, int]) -> float:
    """The median over suspicions of the share of accounts that partners share: few of the suspicions are rings, so rings do not set it."""
    shares = []
    for g in groups:
        mine = flags[[place[a] for a in g if a in place]]
        known = mine[mine >= 0]
        if len(known):
            shares.append(float((known == 1).mean()))
    return float(np.median(shares)) if shares else 0.0


def _command(s: Settings) -> str:
    words = ["stillwatch", "detect", *s.logs]
    if s.accounts:
        words += ["--accounts", str(s.accounts)]
    words += ["--out", str(s.out), "--max-false-alarms", f"{s.max_false_alarms:g}"]
    if s.state:
        words += ["--state", str(s.state)]
    if s.window is not None:
        words += ["--window", f"{s.window:g}"]
    return shlex.join(words + ["--show-text"] * s.show_text)


def _with_mail(accounts: pa.Table, mail: pa.Table) -> pa.Table:
    """Fill in the mail traits that only the log knows; of several addresses the first one used."""
    rows = {r["account"]: r for r in accounts.to_pylist()}
    for seen in sorted(mail.to_pylist(), key=lambda r: (r["first"], r["mail_ref"])):
        row = rows.setdefault(seen["account"], {"account": seen["account"]})
        if not row.get("mail_ref"):
            row.update({k: seen[k] for k in ("mail_ref", "mail_domain_ref", "mail_shape")})
    return pa.Table.from_pylist(list(rows.values()), schema=ACCOUNTS)


def _write(out: Path, case: Case, found: Sequence[object], pop: campaign.Population, now: float) -> None:
    attributed = pa.concat_tables([f.calls for f in found]) if found else ATTRIBUTED.empty_table()  # type: ignore[attr-defined]
    calls_of = dict(zip(pop.accounts, pop.calls.tolist(), strict=True))
    results = [
        {"account": s.account, "campaign": c.id, "calls": calls_of[s.account], "attributed_calls": s.attributed_calls, "bits": s.bits}
        for c in case.campaigns
        for s in c.streams
    ]
    lines = "".join(to_json_line(campaign_to_json(c)) for c in case.campaigns)
    write_atomically(out / "attributed_calls.parquet", lambda p: pq.write_table(attributed, p, compression="zstd"))
    write_atomically(
        out / "accounts.parquet", lambda p: pq.write_table(pa.Table.from_pylist(results, schema=ACCOUNT_RESULTS), p, compression="zstd")
    )
    write_atomically(out / "campaigns.jsonl", lambda p: p.write_text(lines, encoding="utf-8"))
    write_atomically(out / "report.html", lambda p: p.write_text(render_report(case, generated_at=now), encoding="utf-8"))
    write_atomically(out / "run.json", lambda p: p.write_text(to_json_line(run_to_json(case.run)), encoding="utf-8"))

"""What a ring is: how it gets in, what it asks, and what it does to stay unseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stillwatch.range.crowds.kinds import Crowd
from stillwatch.range.texts import PROMPTED
from stillwatch.records import TECHNIQUES

#: Most campaign accounts and calls a world may ask for; a slip of a zero should not fill a disk.
_MOST: Final = 200_000_000


class Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A campaign.  ``techniques`` are shares of its prompts by technique id, or "bare" for items without any template.

    Access: ``accounts_per_card`` (D01), ``stolen`` share of accounts that are honest people's (D02), ``programme`` share on a programme (D03), ``pool``
    addresses (D04), ``pool_kind``, ``addresses_per_account`` (0 draws anew for each call), ``shell`` one declared gateway account in front (D05), ``slices``
    (D06), ``camouflage`` ordinary calls per harvest call (D07), ``paths`` access paths (D08), ``sanitised`` no client to be seen (D09), ``ban_day`` half of the
    accounts stop and fresh ones go on (D10).  Adaptation: ``pivot_day`` (D24); probes are technique D25; several labs (D26) come from the world's ``labs``.
    ``relay`` (D20) puts requests of the ring's own users through; ``replay`` (D21) sends them again later.

    Care: ``wording``, ``settings`` and ``agents`` an account's own; ``org`` typed-in firms, ``mail`` at a sham college or sham firms, of ``firm`` accounts each;
    ``home`` accounts that look like one household; ``overlap`` items that another account sends too; ``app`` and ``behind`` name honest crowds whose program
    or whose VPN the ring hides in; ``rhythm``, ``follow_ups`` and ``personas`` of people; ``order`` of the list; ``stages`` of a pipeline over a load balancer.
    """

    name: str
    preset: str = ""
    accounts: int = 30
    calls: float = 20.0  # harvest calls per account
    calls_spread: str = "even"  # "even" as a balancer deals, "heavy" as people use, or "log-normal"
    begin: float = 0.0  # day
    days: float | None = None  # None: to the end of the world
    techniques: dict[str, float] = msgspec.field(default_factory=lambda: {"D11": 0.7, "D16": 0.3})
    variants: int = 1  # wordings per technique
    languages: int = 1
    slices: bool = True  # False: every account works through the same list
    camouflage: float = 1.0
    accounts_per_card: int = 4
    stolen: float = 0.0
    programme: float = 0.0
    mail: str = "pattern"  # "pattern", "people" (as anybody's), "catch-all" (own domain), "college" or "firm" (a domain each)
    pool: int = 60
    pool_kind: str = "residential"  # "datacentre": few networks; "own": homes that nobody shares
    addresses_per_account: int = 0
    age_days: float = 3.0  # accounts are made up to so many days before the beginning ...
    signup_days: float = 2.0  # ... and up to so many days into it
    verified: float = 0.3
    clients: int = 1  # different client programs
    sanitised: bool = False
    shell: bool = False
    paths: int = 1
    ban_day: float | None = None
    pivot_day: float | None = None
    relay: float = 0.0
    compare: float = 0.0  # share of prompts that go to every lab in the same words, to compare teachers
    replay: float = 0.0
    wording: str = "shared"  # or "account": each has its own, in words that no other ring account has
    settings: str = "shared"  # or "account", "call": temperature and longest answer drawn for each
    agents: str = "shared"  # or "account": the client program that the account chats with
    org: str = ""  # or "typed": a firm's name, typed in by the accounts of one sham firm
    firm: int = 1  # accounts of a sham firm
    home: int = 1  # accounts that share a home, with pool_kind = "own"
    overlap: float = 0.0  # share of harvest calls that send an item of another account's slice again
    app: str = ""  # an honest crowd whose program and system prompt the ring uses
    behind: str = ""  # an honest crowd whose VPN exits the ring uses
    rhythm: str = "flat"  # or "waking": every account keeps hours
    follow_ups: float = 0.0  # share of harvest calls that are followed by an idle question, as people do
    personas: bool = False  # the accounts' ordinary calls are about interests of their own
    items: str = "tasks"  # or "subjects": exercises about somebody's field
    order: str = "dealt"  # or "sorted": by subject, so that every account has a field of its own
    stages: int = 0  # 2 to 4: generate, evolve, judge, refine; each stage takes the answer of the stage before
    sticky: float = 0.0  # share of a pipeline's jobs that stay with one account
    launder: float = 0.0  # share of a pipeline's answers that are reworded by a small model before they go on


def ring_faults(rings: Sequence[Ring], crowds: Sequence[Crowd]) -> list[tuple[str, str]]:
    """(field, what is wrong) for rings that cannot be made."""
    out: list[tuple[str, str]] = []
    names = [r.name for r in rings]
    exits = {c.name or c.kind for c in crowds if c.vpn or (c.vpn is None and c.kind == "vpn-prepaid")}
    for at, r in enumerate(rings):
        field = f"campaigns[{at}]"
        unknown = sorted(set(r.techniques) - {*PROMPTED, "bare"})
        if unknown:
            known = [t for t in unknown if t in TECHNIQUES]
            hint = "has a field of its own or cannot be seen in a log" if known else f"use {', '.join(PROMPTED)} or bare"
            out.append((f"{field}.techniques", f"{unknown[0]}: {hint}"))
        if not r.techniques or any(share < 0 for share in r.techniques.values()) or sum(r.techniques.values()) <= 0:
            out.append((f"{field}.techniques", "at least one share above 0 is needed, none below"))
        if r.accounts < 1 or r.calls <= 0 or r.accounts * r.calls * (1 + max(0.0, r.camouflage)) > _MOST:
            out.append((field, f"accounts and calls must be above 0 and come to at most {_MOST:,} calls"))
        for name, value, words in (
            ("calls_spread", r.calls_spread, ("even", "heavy", "log-normal")),
            ("mail", r.mail, ("pattern", "people", "catch-all", "college", "firm")),
            ("pool_kind", r.pool_kind, ("residential", "datacentre", "own")),
            ("wording", r.wording, ("shared", "account")),
            ("settings", r.settings, ("shared", "account", "call")),
            ("agents", r.agents, ("shared", "account")),
            ("org", r.org, ("", "typed")),
            ("rhythm", r.rhythm, ("flat", "waking")),
            ("items", r.items, ("tasks", "subjects")),
            ("order", r.order, ("dealt", "sorted")),
            ("app", r.app, ("", *(c.name or c.kind for c in crowds))),
            ("behind", r.behind, ("", *sorted(exits))),
        ):
            if value not in words:
                out.append((f"{field}.{name}", f"{value!r} is none of {', '.join(w or 'nothing' for w in words)}"))
        out += [
            (f"{field}.{n}", "a share from 0 to 1 is needed")
            for n in ("stolen", "programme", "verified", "relay", "replay", "overlap", "follow_ups", "sticky", "launder")
            if not 0 <= getattr(r, n) <= 1
        ]
        out += [
            (f"{field}.{n}", "at least 1 is needed")
            for n in ("variants", "languages", "accounts_per_card", "pool", "clients", "paths", "firm", "home")
            if getattr(r, n) < 1
        ]
        out += [
            (f"{field}.{n}", "0 or more is needed")
            for n in ("camouflage", "age_days", "signup_days", "addresses_per_account", "begin")
            if getattr(r, n) < 0
        ]
        if r.stages and not 2 <= r.stages <= 4:
            out.append((f"{field}.stages", "0 or 2 to 4 are needed"))
        if r.order == "sorted" and r.items != "subjects":
            out.append((f"{field}.order", 'a list is sorted by subject; set items = "subjects"'))
        if r.stages and (r.stolen or r.shell or r.ban_day is not None or r.overlap):
            out.append(
                (
                    f"{field}.stages",
                    "a pipeline has accounts of its own from beginning to end; leave out stolen, shell, ban_day and overlap",
                )
            )
        if names.count(r.name) > 1 or not r.name.replace("-", "").replace("_", "").isalnum():
            out.append((f"{field}.name", "names are letters, digits, - and _, each once"))
    return out

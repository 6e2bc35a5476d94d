"""The relational steps, each a pure builder: frames in, one lazy frame out.

They are written once and run on any engine that narwhals speaks; the tests hold DuckDB and Polars together on them.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import narwhals as nw

Frame: TypeAlias = nw.LazyFrame[Any]

#: A fingerprint must recur in this many calls to name a family of several owners ...
MIN_CALLS: Final = 4
#: ... and in this many when one owner alone shows it.
MIN_CALLS_ALONE: Final = 30
#: Calls looked at per fingerprint when fingerprints are grouped.
SAMPLE: Final = 256
#: Owners, and their share of a group's, that must have sent an item before it is one that everybody works through.
SENDERS: Final = 3
SENT_BY: Final = 0.15
#: Share of a family's fingerprints that a call must show to belong to it.
MIN_COVER: Final = 0.3

_HALF_RANGE: Final = float(2**63)


def duplicates(calls: Frame) -> Frame:
    """call_id, n, at: the ids that occur more than once, how often, and their first time."""
    return calls.group_by("call_id").agg(n=nw.len(), at=nw.col("at").min()).filter(nw.col("n") > 1)


def first_of_duplicates(calls: Frame, repeated: Frame) -> Frame:
    """The calls with each repeated id kept once: the earliest, and of equally early ones the least by content, so line order does not matter."""
    same = calls.join(repeated.select("call_id", first="at"), on="call_id", how="inner").filter(nw.col("at") == nw.col("first"))
    least = same.group_by("call_id").agg(text=nw.col("text").min())
    kept = same.join(least, on=["call_id", "text"], how="inner").group_by("call_id").agg(call=nw.col("call").min())
    others = calls.join(repeated.select("call_id"), on="call_id", how="anti")
    return nw.concat([others, calls.join(kept.select("call"), on="call", how="semi")])


def with_owner(calls: Frame, owners: Frame) -> Frame:
    """Calls with the integer codes ``who`` (account) and ``owner`` (declared owner, or the account itself) from ``owners`` (account, who, owner)."""
    return calls.join(owners, on="account", how="inner")


def print_calls(calls: Frame) -> Frame:
    """One row per call and fingerprint."""
    return (
        calls.select("call", "order", "owner", "text", nw.col("prints").alias("print")).explode("print").filter(~nw.col("print").is_null())
    )


def recurring(rows: Frame) -> Frame:
    """print, n: fingerprints that recur in different texts, and so name a template rather than one repeated question."""
    spread = rows.group_by("print").agg(
        n=nw.len(),
        owner_least=nw.col("owner").min(),
        owner_most=nw.col("owner").max(),
        text_least=nw.col("text").min(),
        text_most=nw.col("text").max(),
    )
    several = (nw.col("owner_least") != nw.col("owner_most")) & (nw.col("n") >= MIN_CALLS)
    alone = nw.col("n") >= MIN_CALLS_ALONE
    return spread.filter((nw.col("text_least") != nw.col("text_most")) & (several | alone)).select("print", "n")


def sampled(rows: Frame, prints: Frame) -> Frame:
    """print, order: for each recurring fingerprint its calls, thinned to about SAMPLE by the call's own hash.

    All fingerprints are thinned by the same order, so two that share their calls also share their sample.
    """
    share = 2.0 * SAMPLE / nw.col("n") - 1.0
    return (
        rows.join(prints, on="print", how="inner")
        .filter((nw.col("n") <= SAMPLE) | (nw.col("order").cast(nw.Float64) / _HALF_RANGE < share))
        .select("print", "order", "n")
    )


def call_families(rows: Frame, families: Frame) -> Frame:
    """call, family: the families whose fingerprints a call shows; ``families`` has print, family, size."""
    hits = rows.join(families, on="print", how="inner").group_by("call", "family", "size").agg(hits=nw.len())
    enough = nw.col("hits") >= nw.col("size") * MIN_COVER
    return hits.filter(enough).select("call", "family")


def family_spread(calls: Frame, of: Frame) -> Frame:
    """family, calls, owners: how far each family reaches."""
    joined = of.join(calls.select("call", "owner"), on="call", how="inner")
    return joined.group_by("family").agg(calls=nw.len(), owners=nw.col("owner").n_unique())


def family_calls(calls: Frame, of: Frame, families: Frame) -> Frame:
    """One row per call of the ``families`` (a frame with that column), with all that ``streams`` needs."""
    kept = of.join(families.select("family"), on="family", how="semi")
    return kept.join(calls.select("call", "order", "who", "owner", "client", "agent", "text", "at"), on="call", how="inner")


def harness_calls(calls: Frame) -> Frame:
    """As ``family_calls`` for calls of one client, system prompt and tool schema: the tie of calls that share no text."""
    return calls.select("call", "who", "owner", "client", "system", "tools", "agent", "text", "at")


def streams(rows: Frame, keys: list[str]) -> Frame:
    """keys, client, agent, who, owner, calls, repeated, texts, first, last: one row per account, group and client.

    ``repeated`` counts calls whose whole text a fair share of the group's owners sent: at least ``SENDERS`` and ``SENT_BY`` of them.  Two accounts that send
    an item twice on purpose do not make it a common one.  ``texts`` counts distinct texts.  Calls without a text (0) are neither.
    """
    size = rows.group_by(*keys).agg(group_owners=nw.col("owner").n_unique())
    shared = rows.group_by(*keys, "text").agg(senders=nw.col("owner").n_unique()).filter(nw.col("senders") >= SENDERS, nw.col("text") != 0)
    common = shared.join(size, on=keys, how="inner").filter(nw.col("senders") >= nw.col("group_owners") * SENT_BY)
    marked = rows.join(common.select(*keys, "text", common=nw.lit(1)), on=[*keys, "text"], how="left").with_columns(
        repeated=nw.col("common").fill_null(0),
        blank=(nw.col("text") == 0).cast(nw.Int64),
    )
    by = [*keys, *(c for c in ("client", "agent") if c not in keys), "who", "owner"]
    counted = marked.group_by(*by).agg(
        calls=nw.len(),
        repeated=nw.col("repeated").sum().cast(nw.Int64),
        texts=nw.col("text").n_unique().cast(nw.Int64),
        blank=nw.col("blank").max(),
        first=nw.col("at").min(),
        last=nw.col("at").max(),
    )
    return counted.with_columns(texts=nw.col("texts") - nw.col("blank")).drop("blank")


def account_addresses(calls: Frame) -> Frame:
    """account, address_ref, calls, first, last: the addresses each account used."""
    return (
        calls.filter(~nw.col("address_ref").is_null())
        .group_by("account", "address_ref")
        .agg(calls=nw.len(), first=nw.col("at").min(), last=nw.col("at").max())
    )


def mail_of(calls: Frame) -> Frame:
    """account, mail_ref, mail_domain_ref, mail_shape, first: the mail addresses that the log gives an account, each with its first time."""
    named = calls.filter(~nw.col("mail_ref").is_null())
    return named.group_by("account", "mail_ref", "mail_domain_ref", "mail_shape").agg(first=nw.col("at").min())


def activity(calls: Frame) -> Frame:
    """account, calls, first, last, org_ref, end_users: one row per account seen in the log."""
    return calls.group_by("account").agg(
        calls=nw.len(),
        first=nw.col("at").min(),
        last=nw.col("at").max(),
        org_ref=nw.col("org_ref").max(),
        end_users=nw.col("end_user_ref").n_unique(),
    )

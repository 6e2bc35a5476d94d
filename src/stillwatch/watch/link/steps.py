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

#: Calls that an account must have of either kind before it can be said that they come from different places.
APART: Final = 5

_HALF_RANGE: Final = float(2**63)


#: What makes a call the same call: its id alone is what a client or a provider says.
_SAME: Final = ["call_id", "account", "at", "text"]


def loose_keys(calls: Frame) -> Frame:
    """key, least, most, calls: the API keys that stand in for an account in ``calls`` calls while other calls name the key's user.

    ``least`` and ``most`` are the first and last of its users by name; one user where they are equal.
    """
    stands_in = nw.col("account") == nw.col("key")
    marked = calls.filter(~nw.col("key").is_null()).select(
        "key", user=nw.when(~stands_in).then(nw.col("account")), loose=stands_in.cast(nw.Int64)
    )
    found = marked.group_by("key").agg(least=nw.col("user").min(), most=nw.col("user").max(), calls=nw.col("loose").sum())
    return found.filter((nw.col("calls") > 0) & ~nw.col("least").is_null())


def with_users(calls: Frame, keys: Frame) -> Frame:
    """The calls with their key's user for account where the key stands in for it and has one user; ``keys`` is what ``loose_keys`` gives."""
    tied = keys.filter(nw.col("least") == nw.col("most")).select("key", user=nw.col("least"))
    joined = calls.join(tied, on="key", how="left")
    taken = (nw.col("account") == nw.col("key")) & ~nw.col("user").is_null()
    return joined.with_columns(account=nw.when(taken).then(nw.col("user")).otherwise(nw.col("account"))).drop("user")


def unanswered_keys(calls: Frame) -> Frame:
    """account, calls: the keys that stand in for an account and have not one answered call - what a log-in with an unknown key looks like."""
    alone = calls.filter(nw.col("account") == nw.col("key"))
    answered = (nw.col("status").is_null() | (nw.col("status") != "failure")).cast(nw.Int64)
    return (
        alone.with_columns(answered=answered)
        .group_by("account")
        .agg(calls=nw.len(), answered=nw.col("answered").sum())
        .filter(nw.col("answered") == 0)
        .select("account", "calls")
    )


def duplicates(calls: Frame) -> Frame:
    """call_id, account, at, text, n: the calls that occur more than once (an export overlaps, a line was delivered again), and how often."""
    return calls.group_by(*_SAME).agg(n=nw.len()).filter(nw.col("n") > 1)


def repeats(calls: Frame, repeated: Frame) -> Frame:
    """call, call_id: the copies of the ``duplicates`` that are left out.  Which copy stays depends on what it holds, and on line order only between equals."""
    same = calls.join(repeated.select(*_SAME), on=_SAME, how="inner")
    by = [nw.col(c).fill_null("") for c in ("address_ref", "status", "model")]
    ranked = same.select("call", *_SAME, "client", *by)
    kept = ranked.unique(subset=_SAME, keep="first", order_by=["client", "address_ref", "status", "model", "call"])
    return ranked.join(kept.select("call"), on="call", how="anti").select("call", "call_id")


def known(calls: Frame) -> Frame:
    """calls, with_text, with_answer: one row, the number of calls and of those whose text and whose answer is known."""
    text, answer = nw.col("text") != 0, ~nw.col("answer_prints").is_null()
    return calls.select(
        nw.len().alias("calls"), text.cast(nw.Int64).sum().alias("with_text"), answer.cast(nw.Int64).sum().alias("with_answer")
    )


def with_owner(calls: Frame, owners: Frame) -> Frame:
    """Calls with the integer codes ``who`` (account) and ``owner`` (declared owner, or the account itself) from ``owners`` (account, who, owner)."""
    return calls.join(owners, on="account", how="inner")


def print_calls(calls: Frame) -> Frame:
    """One row per call and fingerprint.  Where only the system text of a call is known it stands for the text."""
    text = nw.when(nw.col("text") != 0).then(nw.col("text")).otherwise(nw.col("system"))
    rows = calls.select("call", "order", "owner", text.alias("text"), nw.col("prints").alias("print")).explode("print")
    return rows.filter(~nw.col("print").is_null())


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


def elsewhere(calls: Frame, mine: Frame) -> Frame:
    """group, who: the accounts whose calls in a group of ``mine`` (group, call) share neither address nor client with their other calls, of both at least
    ``APART``.

    So a stolen key looks: its holder goes on as before, at home.
    """
    columns = calls.select("call", "who", "address_ref", "client").filter(~nw.col("address_ref").is_null())
    whose = mine.join(columns.select("call", "who"), on="call", how="inner").select("group", "who").unique()
    marked = whose.join(columns, on="who", how="inner").join(mine.with_columns(mine=nw.lit(1)), on=["group", "call"], how="left")
    rows = marked.with_columns(mine=nw.col("mine").fill_null(0))
    tally = rows.group_by("group", "who").agg(inside=nw.col("mine").sum(), calls=nw.len())
    tally = tally.filter((nw.col("inside") >= APART) & (nw.col("calls") - nw.col("inside") >= APART)).select("group", "who")
    for column in ("address_ref", "client"):
        each = rows.group_by("group", "who", column).agg(inside=nw.col("mine").max(), least=nw.col("mine").min())
        both = each.filter((nw.col("inside") == 1) & (nw.col("least") == 0)).select("group", "who")
        tally = tally.join(both, on=["group", "who"], how="anti")
    return tally


def harness_calls(calls: Frame) -> Frame:
    """As ``family_calls`` for calls of one client, system prompt and tool schema: the tie of calls that share no text."""
    return calls.select("call", "who", "owner", "client", "system", "tools", "agent", "text", "at")


def streams(rows: Frame, keys: list[str]) -> Frame:
    """keys, client, agent, who, owner, calls, with_text, repeated, texts, first, last: one row per account, group and client.

    ``with_text`` counts calls whose text is known, ``texts`` their distinct texts, and ``repeated`` those of them whose whole text a fair share of the group's
    owners sent: at least ``SENDERS`` and ``SENT_BY`` of them.  Two accounts that send an item twice on purpose do not make it a common one.  A text that is
    not known (0) is equal to no other.
    """
    known = nw.col("text") != 0
    size = rows.group_by(*keys).agg(group_owners=nw.col("owner").n_unique())
    shared = rows.filter(known).group_by(*keys, "text").agg(senders=nw.col("owner").n_unique()).filter(nw.col("senders") >= SENDERS)
    common = shared.join(size, on=keys, how="inner").filter(nw.col("senders") >= nw.col("group_owners") * SENT_BY)
    marked = rows.join(common.select(*keys, "text", repeated=nw.lit(1)), on=[*keys, "text"], how="left").with_columns(
        repeated=nw.col("repeated").fill_null(0), with_text=known.cast(nw.Int64)
    )
    by = [*keys, *(c for c in ("client", "agent") if c not in keys), "who", "owner"]
    counted = marked.group_by(*by).agg(
        calls=nw.len(),
        with_text=nw.col("with_text").sum().cast(nw.Int64),
        repeated=nw.col("repeated").sum().cast(nw.Int64),
        texts=nw.col("text").n_unique().cast(nw.Int64),
        first=nw.col("at").min(),
        last=nw.col("at").max(),
    )
    # An unknown text (0) was counted as one of them.
    return counted.with_columns(texts=nw.col("texts") - (nw.col("with_text") < nw.col("calls")).cast(nw.Int64))


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
    """account, calls, keys, first, last, org_ref, end_users: one row per account seen in the log; ``keys`` are its API keys."""
    return calls.group_by("account").agg(
        calls=nw.len(),
        keys=nw.col("key").n_unique(),
        first=nw.col("at").min(),
        last=nw.col("at").max(),
        org_ref=nw.col("org_ref").max(),
        end_users=nw.col("end_user_ref").n_unique(),
    )

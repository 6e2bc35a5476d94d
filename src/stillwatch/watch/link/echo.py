"""Answers that come back: which call's prompt holds words that another call alone was answered.

``quotes`` is to be kept before ``echoes`` uses it: nearly all prompts are gone after it, and what follows is small.
"""

from __future__ import annotations

from typing import Final

import narwhals as nw

from stillwatch.watch.link.steps import Frame

#: Prints that an answer and a prompt must share: two stand for a run of 12 words and more, or for two places.
LEAST: Final = 2
#: A print that more prompts than this hold names a template, however it began.
TEMPLATE: Final = 256


def _said(calls: Frame) -> Frame:
    """One row per call and print of its answer."""
    rows = calls.select("call", "owner", "at", nw.col("answer_prints").alias("print")).explode("print")
    return rows.filter(~nw.col("print").is_null())


def quotes(calls: Frame, prints: Frame) -> Frame:
    """call, print: the prompts' prints, and those of answers sent back, that are also some answer's.

    Args:
        calls: rows of ``records.SKETCHES`` with who and owner.
        prints: see ``print_calls``.
    """
    resent = calls.select("call", nw.col("resent_prints").alias("print")).explode("print").filter(~nw.col("print").is_null())
    sent = nw.concat([prints.select("call", "print"), resent])
    return sent.join(_said(calls).select("print"), on="print", how="semi").unique()


def echoes(calls: Frame, quotes: Frame) -> Frame:
    """One row per answer and prompt that holds at least ``LEAST`` of its prints.

    A print tells whose an answer is if one owner alone was answered it and nobody had sent it before; the earliest such answer is the one quoted.

    Returns:
        answer, said_who, said_owner, said_at: the call that was answered; quote, who, owner, at, client, system: the call that sent it; shingles: how
        many prints they share.
    """
    about = calls.select("call", "who", "owner", "at", "client", "system")
    sent = quotes.join(about, on="call", how="inner")
    asked = sent.group_by("print").agg(asked=nw.col("at").min(), n=nw.len()).filter(nw.col("n") <= TEMPLATE)
    said = _said(calls).join(asked, on="print", how="inner")
    whose = said.group_by("print").agg(
        least=nw.col("owner").min(), most=nw.col("owner").max(), at=nw.col("at").min(), asked=nw.col("asked").min()
    )
    own = whose.filter((nw.col("least") == nw.col("most")) & (nw.col("at") < nw.col("asked"))).select("print", "at")
    first = said.select("call", "at", "print").join(own, on=["print", "at"], how="inner").select("print", answer="call")
    pairs = (
        sent.join(first, on="print", how="inner")
        .group_by("answer", "call", "who", "owner", "at", "client", "system")
        .agg(shingles=nw.len())
        .filter(nw.col("shingles") >= LEAST)
    )
    source = about.select(answer="call", said_who="who", said_owner="owner", said_at="at")
    return source.join(pairs.rename({"call": "quote"}), on="answer", how="inner")


def answered(calls: Frame) -> Frame:
    """A call whose answer is known, if there is any."""
    return calls.filter(~nw.col("answer_prints").is_null()).select("call").head(1)

"""Three questions, asked apart: is it one hand, is the hand hidden, is it a harvest?  A campaign needs all three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stillwatch.watch.campaign.classes import Finding, Group
from stillwatch.watch.campaign.groups import CONTENT, INSTITUTION
from stillwatch.watch.campaign.harvest import MIN_TEXTS, Harvest
from stillwatch.watch.campaign.scoring import LEG, MIN_CALLS, OCCASION_CAP, Score

#: What a cause adds that a common occasion does not bring along; a judgement, not a measured chance.
CAUSE: Final = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A group with the answers to all three questions; ``why_not`` says what keeps it from being a campaign, empty for one that passes."""

    score: Score
    harvest: Harvest
    bits: float
    findings: tuple[Finding, ...]
    why_not: str = ""
    settle: str = ""

    @property
    def passes(self) -> bool:
        """Whether it is a campaign."""
        return not self.why_not


def judge(score: Score, harvest: Harvest, threshold: float) -> Judged:
    """Put the answers together.

    A class that may convict carries a campaign by itself.  Without one, an occasion (a launch, a class, a VPN) must be ruled out by what it does not bring
    along: accounts that signed up alike, call from one pool of addresses, have no interests of their own, and work equally or for training material.
    """
    findings = (*score.findings, *_harvest_findings(harvest, score.group))
    hand = score.stands(threshold) or score.together(threshold)
    causes = _causes(score, harvest) if not hand and score.crowd() else 0
    bits = score.bits + CAUSE * causes
    if causes:
        findings += (
            Finding(
                "causes",
                CAUSE * causes,
                "More than one occasion: they signed up alike (day or mail), share a pool of addresses, have no interests of their own, and work equally or ask for "
                "training material.  Each is worth a fixed 4 bits, which is a judgement and not a measured chance.",
                cap=CAUSE * 3,
            ),
        )
    over = bits - sum(f.bits for f in findings)
    if abs(over) >= 0.005:
        text = (
            f"Occasion: what a launch, a class, an app or a VPN brings along counts together for {OCCASION_CAP:g} bits at most, and what costs little to buy "
            "takes nothing away."
        )
        findings += (Finding("occasion", over, text),)
    if not hand and not (causes == 3 and bits >= threshold):
        return Judged(score, harvest, bits, findings, *_no_hand(score, threshold))
    if score.together(threshold) and not score.stands(threshold):
        few = harvest.texts < MIN_CALLS or harvest.interests
    elif _unread(score):
        few = not (int(score.group.calls[score.member].sum()) >= MIN_TEXTS and score.weight("quota") >= LEG)
    else:
        # What chose the accounts says nothing for a harvest again.
        told = score.pool or (harvest.training and CONTENT not in score.group.chosen)
        interests = harvest.texts >= MIN_TEXTS and harvest.interests
        few = not (harvest.answered or (interests and _sorted(score, threshold))) or (harvest.mixed and not told)
    if hand and score.place and not score.together(threshold):
        return Judged(score, harvest, bits, findings, *_ONE_ROOF)
    if few:
        return Judged(score, harvest, bits, findings, *_no_harvest(score, harvest))
    return Judged(score, harvest, bits, findings)


#: What is not hidden: cards that several accounts pay with, and one address that most of them call from.
_ONE_ROOF: Final = (
    "They pay with the same cards and call from one place: a firm or a school under one roof looks like that, and hides nothing.",
    "Who pays with these cards, and whose address it is.",
)


def _unread(score: Score) -> bool:
    """Whether the log holds so few of the group's prompts that what is asked cannot be judged; then only work dealt out evenly tells a harvest."""
    return 2 * int(score.group.with_text.sum()) < int(score.group.calls.sum())


def _sorted(score: Score, threshold: float) -> bool:
    """Whether interests take no harvest away: accounts on the same cards that signed up alike and all draw on one pool of addresses.

    A list sorted by subject is free and gives every account a field of its own.  A reseller's customers share cards too, but call from homes of their own.
    """
    arrival = max(score.weight("mail"), score.weight("registration")) >= LEG
    return score.pool and arrival and score.stands(threshold)


def _causes(score: Score, harvest: Harvest) -> int:
    """Of pool, deck and work, how many speak; the arrival is the occasion itself."""
    if not harvest.dealt or harvest.texts < MIN_TEXTS or score.weight("slices") < 0 or score.occasion < OCCASION_CAP:
        return 0
    return 2 + (score.weight("quota") >= LEG or harvest.training)


def _harvest_findings(h: Harvest, group: Group) -> tuple[Finding, ...]:
    if not h.texts:
        text = "not assessed, the log holds none of these calls' prompts."
        return tuple(
            Finding(i, 0.0, f"{what}: {text}", assessed=False, question="harvest")
            for i, what in (("deck", "Interests"), ("breadth", "Breadth"))
        )
    out = []
    if h.sigma is None:
        why = "too few accounts sent several prompts" + (" that the log holds" if group.with_text.sum() < group.calls.sum() else "")
        out.append(Finding("deck", 0.0, f"Interests: not assessed, {why}.", assessed=False, question="harvest"))
    else:
        what = (
            "have no interests of their own"
            if h.dealt
            else "have interests of their own"
            if h.sigma >= 4
            else "may have interests of their own"
        )
        out.append(
            Finding(
                "deck",
                0.0,
                f"Interests: the accounts {what}: prompts of one account are {h.sigma:+.1f} standard deviations more alike than the same prompts dealt anew.",
                question="harvest",
            )
        )
    known, calls = int(group.with_text.sum()), int(group.calls.sum())
    text = f"Breadth: {h.texts} different texts" + (
        f" in the {known} of {calls} calls whose prompt the log holds." if known < calls else "."
    )
    if h.likeness is not None:
        text += f"  Their likeness to other customers' prompts is at the {h.likeness:.0%} quantile of those customers' own."
    if h.training:
        text += f"  {h.shown:.0%} of the sampled prompts ask for training material ({h.mark}); {h.usual:.1%} of others' do."
    out.append(Finding("breadth", 0.0, text, question="harvest"))
    return tuple(out)


def _no_hand(score: Score, threshold: float) -> tuple[str, str]:
    if INSTITUTION in score.group.chosen:
        return (
            "They say openly whom they belong to: an institution, nearly all verified, each with a card of its own, a mail domain older than this log.",
            "Whether the institution exists and knows of this work; who was verified, and how.",
        )
    if score.openly:
        return (
            "Most of them say openly whom they belong to: organisations and payers that are verified or have a mail domain to themselves, all with one kind of work.",
            "Whether these organisations exist and know of one another; who was verified, and how.",
        )
    if score.owners < 3 and score.convicting >= threshold:
        return (
            "Fewer than three accounts belong to it.",
            "More calls of these accounts, or the sign-up records of those that share their traits.",
        )
    if score.occasion >= LEG:
        return (
            f"What the accounts share ({score.convicting + max(0.0, score.occasion):.0f} bits) an occasion could have brought about: a launch, a class, an app, a VPN.",
            "Payment records (payment_fingerprint, payment_par): several accounts on one card; or answers in the log, to see whether they come back in one another's prompts.",
        )
    return (
        f"Too little ties the accounts together: {score.bits:.1f} of {threshold:.1f} bits.",
        "Payment records, sign-up records and addresses of these accounts; the same cards at another lab.",
    )


def _no_harvest(score: Score, h: Harvest) -> tuple[str, str]:
    if _unread(score):
        known, calls = int(score.group.with_text.sum()), int(score.group.calls.sum())
        return (
            f"Whether it is a harvest could not be judged: the log holds the prompts of {known} of {calls} calls, and nothing else tells one.",
            "Logs that hold the prompts.",
        )
    if h.texts < MIN_TEXTS:
        return f"It is small: {h.texts} different texts, {MIN_TEXTS} are needed.", "More of its calls."
    if h.mixed:
        return (
            f"The accounts {'have' if h.own else 'may have'} interests of their own: people who share cards, such as customers of one reseller or the staff of a firm.",
            "Who paid with these cards, and for whom.",
        )
    return "Whether it is a harvest could not be judged: too few prompts an account, or none with text.", "Logs that hold the prompts."

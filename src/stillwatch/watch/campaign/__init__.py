"""Streams -> campaigns with significance."""

from stillwatch.watch.campaign.assemble import Ring, apart, calls_until_found, q_values, rings, threshold_bits, unseparated
from stillwatch.watch.campaign.classes import LOCAL, MIN_OTHERS, Finding, Group
from stillwatch.watch.campaign.classes.echo import Exchange, exchanges, with_exchanges
from stillwatch.watch.campaign.classes.network import rotates
from stillwatch.watch.campaign.groups import (
    CONTENT,
    CROWD,
    INSTITUTION,
    card_groups,
    card_sharers,
    groups,
    institution_groups,
    joined,
    pool_groups,
)
from stillwatch.watch.campaign.harvest import MIN_TEXTS, SAMPLE, Background, Harvest, Words, background, examine, words_of
from stillwatch.watch.campaign.judge import Judged, judge
from stillwatch.watch.campaign.leads import harvest_bits, hidden, leads, likeliest, of_cards, worth, worth_a_look
from stillwatch.watch.campaign.owners import owners
from stillwatch.watch.campaign.population import DAY, Population, describe
from stillwatch.watch.campaign.scoring import LEG, MIN_CALLS, MIN_OWNERS, Score, score
from stillwatch.watch.campaign.single import MIN_CALLS_ALONE, Lone, assess, candidates, lone_streams

__all__ = [
    "CONTENT",
    "CROWD",
    "DAY",
    "INSTITUTION",
    "LEG",
    "LOCAL",
    "MIN_CALLS",
    "MIN_CALLS_ALONE",
    "MIN_OTHERS",
    "MIN_OWNERS",
    "MIN_TEXTS",
    "SAMPLE",
    "Background",
    "Exchange",
    "Finding",
    "Group",
    "Harvest",
    "Judged",
    "Lone",
    "Population",
    "Ring",
    "Score",
    "Words",
    "apart",
    "assess",
    "background",
    "calls_until_found",
    "candidates",
    "card_groups",
    "card_sharers",
    "describe",
    "examine",
    "exchanges",
    "groups",
    "harvest_bits",
    "hidden",
    "institution_groups",
    "joined",
    "judge",
    "leads",
    "likeliest",
    "lone_streams",
    "of_cards",
    "owners",
    "pool_groups",
    "q_values",
    "rings",
    "rotates",
    "score",
    "threshold_bits",
    "unseparated",
    "with_exchanges",
    "words_of",
    "worth",
    "worth_a_look",
]

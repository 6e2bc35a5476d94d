"""Streams -> campaigns with significance."""

from stillwatch.watch.campaign.assemble import Ring, calls_until_found, q_values, rings, threshold_bits
from stillwatch.watch.campaign.groups import CROWD, groups, pool_groups
from stillwatch.watch.campaign.population import DAY, Population, describe, owners
from stillwatch.watch.campaign.scoring import OPERATOR, Finding, Group, Score, score
from stillwatch.watch.campaign.single import MIN_CALLS_ALONE, Lone, assess, candidates

__all__ = [
    "CROWD",
    "DAY",
    "MIN_CALLS_ALONE",
    "OPERATOR",
    "Finding",
    "Group",
    "Lone",
    "Population",
    "Ring",
    "Score",
    "assess",
    "calls_until_found",
    "candidates",
    "describe",
    "groups",
    "owners",
    "pool_groups",
    "q_values",
    "rings",
    "score",
    "threshold_bits",
]

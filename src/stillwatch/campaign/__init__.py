"""Streams -> campaigns with significance."""

from stillwatch.campaign.assemble import Ring, calls_until_found, q_values, rings, threshold_bits
from stillwatch.campaign.groups import CROWD, groups, pool_groups
from stillwatch.campaign.population import DAY, Population, describe, owners
from stillwatch.campaign.scoring import OPERATOR, Finding, Group, Score, score
from stillwatch.campaign.single import MIN_CALLS_ALONE, Lone, assess, candidates

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

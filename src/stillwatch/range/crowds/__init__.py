"""Honest crowds: people who share an occasion - a class, a launch, an app, an office - and so come on the same days, from the same places, with the same words."""

from stillwatch.range.crowds.kinds import KINDS, RANGES, Crowd, draw_crowd, ranges_table

__all__ = ["KINDS", "RANGES", "Crowd", "draw_crowd", "ranges_table"]

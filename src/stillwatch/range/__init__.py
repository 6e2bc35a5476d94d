"""The cyber range: labelled worlds of honest customers and rings, written as the logs a gateway would write."""

from stillwatch.range.people import Hydra, WorldSpec, scaled_world, small_world
from stillwatch.range.world import Summary, build_world

__all__ = ["Hydra", "Summary", "WorldSpec", "build_world", "scaled_world", "small_world"]

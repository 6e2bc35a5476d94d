"""The cyber range: labelled worlds of honest customers and rings, written as the logs a gateway would write."""

from stillwatch.range.errors import SpecError
from stillwatch.range.samples import allied_world, scaled_world, small_world
from stillwatch.range.spec import WorldSpec, load_spec
from stillwatch.range.world import Summary, build_world

__all__ = ["SpecError", "Summary", "WorldSpec", "allied_world", "build_world", "load_spec", "scaled_world", "small_world"]

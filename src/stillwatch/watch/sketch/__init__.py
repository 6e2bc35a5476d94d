"""Calls -> sketches: what is kept of a call once its text is gone.  Pinned, versioned recipes."""

from stillwatch.watch.sketch.echo import ECHO_RECIPE
from stillwatch.watch.sketch.recipe import RECIPE, sketch_batch

__all__ = ["ECHO_RECIPE", "RECIPE", "sketch_batch"]

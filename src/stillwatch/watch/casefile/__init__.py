"""From passing groups to campaigns with all that a reader of the case needs: calls, streams, techniques, skeletons, what speaks against."""

from stillwatch.watch.casefile.lone import lone
from stillwatch.watch.casefile.material import Found, Material
from stillwatch.watch.casefile.ring import rings

__all__ = ["Found", "Material", "lone", "rings"]

"""Training tiles varied as overhead imagery varies, with every box kept exact.

Spans of a perimeter and pieces of a strip are locked to a grid of 32 px (see `pithead.labels`). Mirrors and
quarter turns of a square tile map that grid onto itself. After any other turn or scale, lines and strips are
put together again and cut anew, so that a view is what cutting a turned or scaled scene would have given.
"""

from pithead.augment.augmenter import Augmenter
from pithead.augment.paste import Donor, donors_of
from pithead.augment.view import View

__all__ = ["Augmenter", "Donor", "View", "donors_of"]

"""One side of a comparison: weights, how they were run, and which scenes they have scored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import geopandas as gpd


@dataclass(frozen=True, slots=True)
class Scored:
    """A scene that weights have scored: its id, the km² that were looked at, and the sites that it shows."""

    scene: str
    km2: float
    sites: tuple[str, ...] = ()
    filed: str | None = None
    """The site under which its rows lie in the store."""


@dataclass(frozen=True, slots=True)
class Side:
    """Weights with one set of options; `scenes` by their sha256, `classes` are those that they look for."""

    name: str
    weights_sha256: str
    options_sha256: str
    options: Mapping[str, object]
    classes: frozenset[str]
    scenes: Mapping[str, Scored]
    since: str | None = None
    """When the weights first came up in the log, in UTC; None where it does not say."""
    turn: int | None = None
    """Which of the weights of the log they are, from 0; times may be the same."""

    def shown_at(self, sites: Mapping[str, tuple[str, ...]]) -> "Side":
        """The same with the sites that scenes show now, by their sha256; others keep theirs."""
        scenes = {sha: replace(one, sites=sites.get(sha, one.sites)) for sha, one in self.scenes.items()}
        return replace(self, scenes=scenes)

    @property
    def told(self) -> str:
        """The weights as a person reads them: name and the first of the hash."""
        return f"{self.name} ({self.weights_sha256[:12]})"


@dataclass(frozen=True, slots=True)
class Portion:
    """Some scenes that both have scored, by sha256, and all rows of either side in them."""

    scenes: tuple[str, ...]
    old: gpd.GeoDataFrame
    new: gpd.GeoDataFrame

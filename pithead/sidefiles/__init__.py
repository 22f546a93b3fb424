"""What the vendors' side files say of a scene: when, by what, from where, under which sun."""

from pithead.sidefiles.beside import read_sidefile, read_sidefiles
from pithead.sidefiles.facts import Facts
from pithead.sidefiles.features import stac_facts

__all__ = ["Facts", "read_sidefile", "read_sidefiles", "stac_facts"]

"""The archive once more, in tables of SQLite: a cache, from which lists and the map are answered.

What counts lies in the catalogue, the store and the log; the mirror is held to them before each answer, and
is made anew from them if it is lost.
"""

from pithead.server.mirror.mirror import Mirror, Served
from pithead.server.mirror.tables import SCHEMA

__all__ = ["SCHEMA", "Mirror", "Served"]

"""pithead: finds mine heads, coal heaps, guard perimeters and rail loading in overhead imagery."""

__version__ = "0.1.0"

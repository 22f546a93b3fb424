"""pithead: finds mine heads, coal heaps, guard perimeters and rail loading in overhead imagery."""

import os

# From 1.32 on onnxruntime notes every session in a file of the user's home and sends that away, on Linux too.
# It looks when it is imported, by whomever, so this stands before everything else of pithead.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"

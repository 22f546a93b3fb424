"""Every exception of the project: each says what was expected, what came, and the remedy.

Each has a builtin second parent, so that callers who do not know pithead catch it all the same.
Programs print the message as one line and exit with status 2.
"""


class PitheadError(Exception):
    """Anything the user can mend: bad input, a missing file, a wrong option."""


class SceneError(PitheadError, OSError):
    """A scene that is missing, unreadable, truncated or no image."""


class GroundResolutionError(PitheadError, ValueError):
    """The ground resolution of a scene is unknown or impossible."""


class ClassesError(PitheadError, ValueError):
    """A class list that is malformed or does not match another one."""


class LabelError(PitheadError, ValueError):
    """A label file or a label that breaks the format."""


class DatasetError(PitheadError, ValueError):
    """A dataset whose manifest, tiles or labels do not fit together."""


class CardError(PitheadError, ValueError):
    """An ONNX file without a card, or with one that breaks the contract."""


class WeightsError(PitheadError, OSError):
    """Weights that are missing, unreadable, or not what the card or manifest says."""


class RecipeError(PitheadError, ValueError):
    """A training recipe with an unknown key, a missing key or an impossible value."""


class ExportError(PitheadError, RuntimeError):
    """An exported ONNX file that does not give what torch gave."""


class OptionError(PitheadError, ValueError):
    """A command-line option with an impossible value."""


class OutsideError(OptionError):
    """An area of interest of which a scene shows nothing."""


class CatalogError(PitheadError, ValueError):
    """An archive's catalogue that is missing, malformed or does not know what it is asked for."""


class StoreError(PitheadError, OSError):
    """A store of detections that is missing, damaged, or of another schema."""


class EvidenceError(PitheadError, ValueError):
    """A log of evidence with a broken link, or a signature that does not fit."""

"""Texts as a client may read them. Without fastapi, since the worker says things too."""

import re
from typing import Final

_FOLDERS: Final = re.compile(r"(?<![\w/:])/(?:[^\s/:;,'\"()]+/)+([^\s/:;,'\"()]*)")


def without_folders(text: str) -> str:
    """A text with file names in the place of paths: where files of the server lie is nobody's business."""
    return _FOLDERS.sub(r"\1", text)

"""The cage: what a process that decodes strangers' images may do, and what it gives up before it begins.

Every image that was uploaded is decoded in one: at once by `scanner`, for the map by `pictures.child`, to be
taken in by `taking`, and for a job by the workers of `rescore` that `scoring` starts.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pithead.imagery import formats

DRIVERS: Final = ("GTiff", "PNG", "JPEG", "WEBP", "JP2OpenJPEG")
"""All of GDAL that reads what clients send, as in `uploads`."""
MEMORY_BYTES: Final = 4 * 2**30
MODEL_BYTES: Final = 8 * 2**30
"""Of a process that has a model beside the image."""
_KEPT: Final = frozenset({*DRIVERS, "MEM"})
_VARIABLES: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
_CLONE_NEWUSER, _CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x10000000, 0x40000000, 1


def environment(*also: str) -> dict[str, str]:
    """Of a process: no format of GDAL but plain ones, no address, no file beside the image, one thread.

    Args:
        also: Formats that it needs beside.
    """
    # Not in OGR_SKIP too, which adds nothing: the GDAL of pyogrio crashes over it.
    skipped = ",".join(sorted(formats() - _KEPT - set(also)))
    return {
        **{name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "GDAL_SKIP": skipped,
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
        "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
        "PROJ_NETWORK": "OFF",
        "CPL_LOG": "/dev/null",  # pyogrio's GDAL knows fewer formats, and complains of those
        **_OURS,
        **_library(),
    }


def open_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Of a process for images of the archive's owner: any format, also recipes that name files elsewhere."""
    return {**ours, **_OURS, **_library()}


def end_with_parent(how: signal.Signals) -> None:
    """Be sent a signal when the process that began this one is gone, however it went; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)


def shut_in(*, memory: int | None = MEMORY_BYTES, network: bool = False) -> None:
    """Give up what decoding does not need: most memory, core files, the network, to outlive the server.

    For a process with one thread: no other may leave the network.

    Args:
        memory: Most bytes of it; None for any, as for CUDA, which reserves more addresses than it ever uses.
        network: Whether the network is kept.
    """
    bounds = {resource.RLIMIT_CORE: 0} | ({} if memory is None else {resource.RLIMIT_AS: memory})
    for what, wanted in bounds.items():
        _, hard = resource.getrlimit(what)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (most, most))
    end_with_parent(signal.SIGKILL)
    if sys.platform != "linux":
        return
    system = ctypes.CDLL(None)
    # A namespace without any network; systems that refuse it lose only the second lock on that door.
    if not network and system.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        system.unshare(_CLONE_NEWNET)


_OURS: Final = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "GDAL_CACHEMAX": "128",
    "GDAL_NUM_THREADS": "1",
    # A process with several threads may not leave the network (unshare).
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # each reserves addresses, which are what is bounded
}


def _library() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}

"""How a server is set up: one frozen value, made once from the environment by whoever starts it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, TypeVar, cast, get_args

from pithead.detector import Device
from pithead.errors import OptionError

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PREFIX: Final = "PITHEAD_"
Number = TypeVar("Number", int, float)
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of the server.

    Attributes:
        tile_bytes: Most bytes of the body of /v1/detect.
        tile_pixels: Most pixels of an image of /v1/detect.
        scene_bytes: Most bytes of a scene that is uploaded.
        scene_pixels: Most pixels of such a scene, its own and at the ground resolution of the weights.
        pixels_per_byte: Most pixels of a scene for each byte of its file, where it has more than
            `tile_pixels`. A scene of which one pixel in a hundred shows anything, at half a byte each, has
            200; a file of holes alone has half a million, and would keep the worker busy for hours.
        block_bytes: Most bytes that one block (strip, tile) of an image may unpack to.
        waiting: Requests of /v1/detect that may wait for the model; more are told 503.
        waiting_of_one: Of them, how many may be of one key, or of one address; more are told 429.
        jobs_of_one: Jobs of one key that may be queued; more are told 429.
        answer_s: Longest time of one request, in seconds; an upload may take longer, but never pause so long.
        page: Most things of one page of a list.
    """

    tile_bytes: int = 64 * 2**20
    tile_pixels: int = 100_000_000
    scene_bytes: int = 50 * 2**30
    scene_pixels: int = 20_000_000_000
    pixels_per_byte: int = 256
    block_bytes: int = 2**28
    waiting: int = 32
    waiting_of_one: int = 24
    jobs_of_one: int = 1000
    answer_s: float = 60.0
    page: int = 1000

    def __post_init__(self) -> None:
        """Refuse limits that nothing can meet.

        Raises:
            OptionError: One is below 1.
        """
        for name in self.__slots__:
            if not 1 <= getattr(self, name) < math.inf:
                raise OptionError(f"expected the limit {name} to be at least 1, got {getattr(self, name)}")

    def why_hollow(self, pixels: float, size: int) -> str | None:
        """Why a scene has more pixels than are taken, or than its bytes can hold; None where it has not.

        Args:
            pixels: Of the scene, at whatever resolution it is looked at.
            size: Bytes of its file.
        """
        if pixels > self.scene_pixels:
            return f"expected at most {self.scene_pixels} pixels, got {pixels:.0f}; cut it into parts"
        if pixels <= max(self.tile_pixels, size * self.pixels_per_byte):
            return None
        return (
            f"expected at most {self.pixels_per_byte} pixels for each byte of the file, got {pixels:.0f} in "
            f"{size} bytes; cut out the part that shows something"
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is set up.

    Attributes:
        archive: Folder of the archive; made if there is none. `server.sqlite` and `uploads/` lie in it.
        weights: The weights that are served, an ONNX file of pithead.
        verify: Whether weights must be those of the manifest beside them.
        device: Where the model runs.
        threads: CPU threads of the model; None for all.
        scanners: Processes that read images.
        max_batch: Most tiles of one call of the model. More bring a CPU nothing and let clients wait for each
            other; a GPU wants 32.
        host: The address that is listened on.
        hosts: Names under which clients may call, beside those of loopback and addresses in figures.
        basemap: A GeoTIFF that is shown under the scenes, or None.
        web: Folder of the built page.
        limits: What one client may ask.
    """

    archive: Path
    weights: Path
    verify: bool = True
    device: Device = "auto"
    threads: int | None = None
    scanners: int = 2
    max_batch: int = 4
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    basemap: Path | None = None
    web: Path = ROOT / "inference" / "web" / "dist"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what no server can be.

        Raises:
            OptionError: A device nobody knows, a count below 1, or a name that is none of a host.
        """
        if self.device not in get_args(Device):
            raise OptionError(f"expected a device of {', '.join(get_args(Device))}, got {self.device!r}")
        counts = {"threads": self.threads, "scanners": self.scanners, "max_batch": self.max_batch}
        for name, count in counts.items():
            if count is not None and count < 1:
                raise OptionError(f"expected {name} to be at least 1, got {count}")
        for host in self.hosts:
            if not NAME.fullmatch(host):
                raise OptionError(
                    f"expected hosts as names in lower case, such as pithead.example.org, got {host!r}: "
                    "leave scheme, port and path away"
                )

    @property
    def database(self) -> Path:
        """The SQLite file of jobs, keys and the index of detections."""
        return self.archive / "server.sqlite"

    @property
    def uploads(self) -> Path:
        """Where uploaded scenes lie, each under the sha256 of its bytes."""
        return self.archive / "uploads"

    @property
    def audit(self) -> Path:
        """Where it stands who has changed or read detections."""
        return self.archive / "audit.jsonl"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings as the variables PITHEAD_* tell them; one that is missing or empty says nothing.

        They are PITHEAD_ARCHIVE (else `archive` in the folder where the server is started), _WEIGHTS (else
        the starter weights), _UNVERIFIED (1: whatever the manifest says), _DEVICE, _THREADS, _SCANNERS,
        _MAX_BATCH, _HOST, _HOSTS (a,b), _BASEMAP, _WEB, and _LIMIT_… for each limit, such as
        PITHEAD_LIMIT_TILE_BYTES.

        Raises:
            OptionError: A variable has no value of its kind, or there is none of that name; or a bento is not
                told where its archive is.
        """
        told = _Variables(
            {k: v.strip() for k, v in environment.items() if k.startswith(PREFIX) and v.strip()}
        )
        told.check_names()
        defaults = Limits()
        limits = {
            one.name: told.number(f"LIMIT_{one.name.upper()}", getattr(defaults, one.name))
            for one in fields(Limits)
        }
        return cls(
            archive=told.path("ARCHIVE") or _here(environment) / "archive",
            weights=told.path("WEIGHTS") or ROOT / "weights" / "starter.onnx",
            verify=not told.flag("UNVERIFIED"),
            device=told.device("DEVICE"),
            threads=told.number("THREADS", 0) or None,
            scanners=told.number("SCANNERS", 2),
            max_batch=told.number("MAX_BATCH", 4),
            host=told.values.get("PITHEAD_HOST", "127.0.0.1"),
            hosts=told.names("HOSTS"),
            basemap=told.path("BASEMAP"),
            web=told.path("WEB") or ROOT / "inference" / "web" / "dist",
            limits=Limits(**limits),
        )

    def environment(self) -> dict[str, str]:
        """The variables that tell another process these settings; `of` gives them back."""
        limits = {
            f"{PREFIX}LIMIT_{one.name.upper()}": str(getattr(self.limits, one.name)) for one in fields(Limits)
        }
        return limits | {
            "PITHEAD_ARCHIVE": str(self.archive.absolute()),
            "PITHEAD_WEIGHTS": str(self.weights.absolute()),
            "PITHEAD_UNVERIFIED": "" if self.verify else "1",
            "PITHEAD_DEVICE": self.device,
            "PITHEAD_THREADS": "" if self.threads is None else str(self.threads),
            "PITHEAD_SCANNERS": str(self.scanners),
            "PITHEAD_MAX_BATCH": str(self.max_batch),
            "PITHEAD_HOST": self.host,
            "PITHEAD_HOSTS": ",".join(self.hosts),
            "PITHEAD_BASEMAP": "" if self.basemap is None else str(self.basemap.absolute()),
            "PITHEAD_WEB": str(self.web.absolute()),
        }


NAMES: Final = (
    *("ARCHIVE", "WEIGHTS", "UNVERIFIED", "DEVICE", "THREADS", "SCANNERS", "MAX_BATCH"),
    *("HOST", "HOSTS", "BASEMAP", "WEB"),
    *(f"LIMIT_{one.name.upper()}" for one in fields(Limits)),
)
"""Of the variables, without their prefix."""


def _here(environment: Mapping[str, str]) -> Path:
    """The folder where the server is started.

    BentoML goes into the folder of a bento before it loads it, and what lies there is deleted with it: so for
    a bento it is the folder that the shell tells of.
    """
    here = Path.cwd()
    bento = next((place for place in (here, *here.parents) if (place / "bento.yaml").is_file()), None)
    if bento is None:
        return here
    told = Path(environment.get("PWD", ""))
    if not told.is_absolute() or told.resolve().is_relative_to(bento):
        raise OptionError(
            "expected PITHEAD_ARCHIVE to name the folder of the archive: a bento is no place to keep one"
        )
    return told


@dataclass(frozen=True, slots=True)
class _Variables:
    """The variables that are set, each read as what it has to be."""

    values: Mapping[str, str]

    def check_names(self) -> None:
        # A name that is misspelt would leave a limit or a lock where it was, unnoticed.
        strange = sorted(self.values.keys() - {PREFIX + name for name in NAMES})
        if strange:
            known = ", ".join(PREFIX + name for name in NAMES)
            raise OptionError(f"expected variables of {known}; got {', '.join(strange)}: correct or unset it")

    def path(self, name: str) -> Path | None:
        value = self.values.get(PREFIX + name)
        return None if value is None else Path(value).expanduser().absolute()

    def number(self, name: str, default: Number) -> Number:
        value = self.values.get(PREFIX + name)
        if value is None:
            return default
        try:
            number = type(default)(value)
        except ValueError as error:
            raise OptionError(f"expected {PREFIX}{name} to be a number, got {value!r}") from error
        if not 1 <= number < math.inf:
            raise OptionError(f"expected {PREFIX}{name} to be at least 1, got {value}")
        return number

    def flag(self, name: str) -> bool:
        value = self.values.get(PREFIX + name, "0")
        if value not in ("0", "1"):
            raise OptionError(f"expected {PREFIX}{name} to be 0 or 1, got {value!r}")
        return value == "1"

    def device(self, name: str) -> Device:
        value = self.values.get(PREFIX + name, "auto")
        if value not in get_args(Device):
            raise OptionError(f"expected {PREFIX}{name} of {', '.join(get_args(Device))}, got {value!r}")
        return cast("Device", value)

    def names(self, name: str) -> tuple[str, ...]:
        parts = (part.strip().lower() for part in self.values.get(PREFIX + name, "").split(","))
        return tuple(part for part in parts if part)

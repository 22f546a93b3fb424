"""Who may do what: keys of 256 random bits, shown once and kept as hashes, each with a role.

Routes ask for a caller by role:

    @router.get("/v1/jobs")
    async def jobs(who: Annotated[Caller, Depends(role("submit"))]) -> …
"""

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from cyclopts import App, Parameter
from starlette.requests import Request

from pithead.errors import OptionError
from pithead.server.database import Database
from pithead.server.problems import Problem

Role = Literal["submit", "review", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the lowest; each may do what those before it may. Submit reads too."""

NAME: Final = re.compile(r"[\w.@+-]([\w.@+ -]{0,62}[\w.@+-])?")
BEGIN: Final = "pithead_"
"""Of every key, so that one that lies where it should not is found."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('submit', 'review', 'admin')),
    sha256 TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    revoked TEXT
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: That of the key, "local" without one.
        role: What they may do.
        key_id: The number of the key; None without one.
    """

    name: str
    role: Role
    key_id: int | None = None

    def __post_init__(self) -> None:
        """Check the role.

        Raises:
            OptionError: There is none of that name.
        """
        if self.role not in ROLES:
            raise OptionError(f"expected a role of {', '.join(ROLES)}, got {self.role!r}")

    def may(self, least: Role) -> bool:
        """Whether this role is that one or above it."""
        return ROLES.index(self.role) >= ROLES.index(least)


LOCAL: Final = Caller("local", "admin")
"""Whoever sits at the machine itself, as long as no key was ever given out."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was given out, as far as anyone but its holder knows it.

    Times are ISO 8601 in UTC; `revoked` is None while it opens.
    """

    name: str
    role: Role
    created: str
    revoked: str | None


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of a server."""

    database: Database

    def add(self, name: str, least: Role) -> str:
        """Make a key and return it: nobody can ever read it again.

        A name is given once, also after its key was revoked: reviews and the audit speak of people by it.

        Raises:
            OptionError: The name or role cannot be, or the name was given before.
        """
        if not NAME.fullmatch(name) or name == LOCAL.name:
            raise OptionError(
                f"expected a name of 1 to 64 letters, digits, spaces and . _ - + @, and not {LOCAL.name!r}; "
                f"got {name!r}"
            )
        Caller(name, least)
        key = BEGIN + secrets.token_urlsafe(32)
        row = (name, least, _sha256(key), datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            with self.database.writing() as connection:
                connection.execute("INSERT INTO keys (name, role, sha256, created) VALUES (?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise OptionError(f"expected a name that no key has or had, got {name!r}") from error
        return key

    def listed(self) -> tuple[Key, ...]:
        """Every key there is or was, in the order they were made."""
        with self.database.reading() as connection:
            rows = connection.execute("SELECT name, role, created, revoked FROM keys ORDER BY id").fetchall()
        return tuple(Key(*row) for row in rows)

    def revoke(self, name: str) -> None:
        """Make a key open nothing from now on.

        Raises:
            OptionError: There is none of that name that still opens.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self.database.writing() as connection:
            told = connection.execute(
                "UPDATE keys SET revoked = ? WHERE name = ? AND revoked IS NULL", (now, name)
            )
            if not told.rowcount:
                raise OptionError(f"expected the name of a key that is not revoked yet, got {name!r}")

    def holder(self, key: str) -> Caller | None:
        """Whose key this is; None if it opens nothing."""
        # Looked up by hash: how long that takes tells nothing of keys, and 256 bits are not guessed.
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT name, role, id FROM keys WHERE sha256 = ? AND revoked IS NULL", (_sha256(key),)
            ).fetchone()
        return None if row is None else Caller(*row)

    def empty(self) -> bool:
        """Whether no key was ever given out; one that was revoked counts, or its end would open the door."""
        with self.database.reading() as connection:
            return connection.execute("SELECT 1 FROM keys LIMIT 1").fetchone() is None


def role(least: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency of routes: the caller, who has at least this role.

    Raises:
        Problem: 401 without a key, 403 with one that may not.
    """

    async def who(request: Request) -> Caller:
        caller = getattr(request.state, "caller", None)
        if not isinstance(caller, Caller):
            raise unknown()
        if not caller.may(least):
            raise Problem(403, "", f"expected a key with the role {least}, this one has {caller.role}")
        return caller

    return who


def unknown() -> Problem:
    """401: nobody knows who this is."""
    return Problem(
        401,
        "",
        "expected a key, as Authorization: Bearer KEY or X-API-Key: KEY; who runs the server gives them out",
        {"WWW-Authenticate": 'Bearer realm="pithead"'},
    )


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


commands: Final = App(name="keys", help="Give out and take back the keys of a server.")
Folder = Annotated[Path, Parameter(name="--archive", env_var="PITHEAD_ARCHIVE")]


@commands.command
def add(name: str, *, role: Role = "review", archive: Folder = Path("archive")) -> str:
    """Make a key and print it, once; from then on the server lets nobody in without one.

    Parameters
    ----------
    name
        Whose it is; reviews and the audit name them so.
    role
        submit: send tiles and scenes, and read all there is; review: also decide on detections; admin: also
        end jobs of others.
    archive
        The folder of the archive that the server serves; else PITHEAD_ARCHIVE, as for the server.
    """
    return _ring(archive).add(name, role)


@commands.command(name="list")
def listed(*, archive: Folder = Path("archive")) -> str:
    """Print whose keys there are, and what they may do.

    Parameters
    ----------
    archive
        The folder of the archive that the server serves; else PITHEAD_ARCHIVE, as for the server.
    """
    lines = [
        f"{key.name}  {key.role}  since {key.created}" + (f"  revoked {key.revoked}" if key.revoked else "")
        for key in _ring(archive).listed()
    ]
    return "\n".join(lines or ["no key was given out: whoever sits at the machine needs none"])


@commands.command
def revoke(name: str, *, archive: Folder = Path("archive")) -> str:
    """Make a key open nothing any more.

    Parameters
    ----------
    name
        Whose it is.
    archive
        The folder of the archive that the server serves; else PITHEAD_ARCHIVE, as for the server.
    """
    _ring(archive).revoke(name)
    return f"the key of {name} opens nothing any more"


def _ring(archive: Path) -> Keyring:
    # A key in a folder that nobody serves would leave the one that is served open.
    if not archive.is_dir():
        raise OptionError(
            f"expected the folder of an archive, got {archive}: name it with --archive, or start the server "
            "once to make it"
        )
    return Keyring(Database.open(archive / "server.sqlite", schemas=[SCHEMA]))

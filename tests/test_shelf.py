"""Bytes under names: whole or not at all, in folders and at addresses."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from pithead.errors import StoreError
from pithead.shelf import OLD_PART_S, PART, FolderShelf, RemoteShelf, Shelf, checked

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["folder", "memory"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return Shelf.at(tmp_path / "s" if request.param == "folder" else f"memory://{uuid.uuid4()}/s/")


def test_what_is_written_is_read_listed_and_removed(shelf: Shelf) -> None:
    assert shelf.names() == ()
    assert not shelf.exists("a/b.json")
    for name in ("b", "a/b.json", "a/c/d", "ab/e"):
        shelf.write(name, name.encode())
    shelf.write("b", b"new")
    assert shelf.names() == ("a/b.json", "a/c/d", "ab/e", "b")
    assert shelf.names("a") == shelf.names("a/") == ("a/b.json", "a/c/d")
    assert shelf.sub("a").names() == ("b.json", "c/d")
    assert shelf.names("nowhere") == ()
    assert shelf.read("b") == b"new"
    assert shelf.sub("a").read("c/d") == b"a/c/d"
    with shelf.opened("b") as file:
        file.seek(1)
        assert file.read() == b"ew"
    assert shelf.exists("a/b.json")
    assert not shelf.exists("a")
    shelf.remove("a/b.json")
    shelf.remove("a/b.json")
    assert shelf.names("a") == ("a/c/d",)
    for read in (shelf.read, shelf.opened):
        with pytest.raises(FileNotFoundError):
            read("a/b.json")
    assert pickle.loads(pickle.dumps(shelf)).read("b") == b"new"  # noqa: S301 (our own bytes)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../../b", "a\0b", f"a/{PART}x"])
def test_names_stay_below_the_shelf(name: str) -> None:
    with pytest.raises(StoreError, match="expected a name below the shelf"):
        checked(name)


def test_places(tmp_path: Path) -> None:
    assert Shelf.at(tmp_path) == Shelf.at(f"file://{tmp_path}") == FolderShelf(str(tmp_path))
    assert isinstance(Shelf.at("memory://a"), RemoteShelf)
    assert RemoteShelf("s3://user:secret@bucket/a/b?key=1").told == "s3://bucket/a/b"
    assert Shelf.at(tmp_path).told == str(tmp_path)
    with pytest.raises(
        StoreError, match="expected a folder or an address such as s3://bucket/archive, got gopher"
    ):
        Shelf.at("gopher://a")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf.at(tmp_path)
    shelf.write("a", b"old")

    def full(number: int) -> None:
        del number
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            StoreError, match=r"expected to write .*a, got: No space left on device; what was there"
        ):
            shelf.write("a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert shelf.read("a") == b"old"


def test_a_file_that_may_not_grow_leaves_what_was_there(tmp_path: Path) -> None:
    # The system itself says no, half way through the bytes.
    program = f"""
import resource, signal
from pithead.errors import StoreError
from pithead.shelf import Shelf
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
shelf = Shelf.at({str(tmp_path)!r})
shelf.write("a", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    shelf.write("a", bytes(5000))
except StoreError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_two_processes_write_the_same_name(tmp_path: Path) -> None:
    shelf = Shelf.at(tmp_path)
    shelf.write("same", b"a")
    program = f"""
import sys
from pithead.shelf import Shelf
for _ in range(15):
    Shelf.at({str(tmp_path)!r}).write("same", sys.argv[1].encode() * 100_000)
"""
    writers = [subprocess.Popen([sys.executable, "-c", program, letter], cwd=ROOT) for letter in "bc"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        content = shelf.read("same")
        seen.add((content[:1], len(set(content)), len(content)))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {(b"a", 1, 1), (b"b", 1, 100_000), (b"c", 1, 100_000)}
    assert [path.name for path in tmp_path.iterdir()] == ["same"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pithead.shelf import Shelf
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
Shelf.at({str(tmp_path)!r}).write("a/b", b"half")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    shelf = Shelf.at(tmp_path)
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert shelf.names() == ()
    mine = tmp_path / "a" / f"{PART}{os.uname().nodename}-{os.getpid()}-00000000"
    fresh, old = (tmp_path / f"{PART}else-where-1-{digits}" for digits in ("aaaaaaaa", "bbbbbbbb"))
    for path in (mine, fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - OLD_PART_S - 60,) * 2)
    assert shelf.tidy() == 2
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([mine, fresh])
    assert shelf.tidy() == 0


class Elsewhere(LocalFileSystem):  # type: ignore[misc]  # fsspec publishes no types
    """A file system over a network that is no object store."""

    protocol = "elsewhere"


def test_where_a_put_can_be_seen_half_done_a_part_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
    shelf = Shelf.at(f"elsewhere://{tmp_path}/deep")
    assert isinstance(shelf, RemoteShelf)
    shelf.write("a", b"old")
    assert shelf.names() == ("a",)
    assert shelf.read("a") == b"old"

    def full(self: object, *names: str, **more: object) -> None:
        del self, names, more
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Elsewhere, "mv", full)
        with pytest.raises(StoreError, match="No space left"):
            shelf.write("a", b"new")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]
    assert shelf.read("a") == b"old"


def test_errors_of_a_server_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf.at(f"memory://{uuid.uuid4()}")
    assert isinstance(shelf, RemoteShelf)

    class NoKeysError(Exception):
        """As clients of object stores have them: no OSError."""

    for error in (PermissionError(errno.EACCES, "Access Denied"), NoKeysError("Access Denied")):

        def refuse(*names: str, told: Exception = error, **more: object) -> None:
            del names, more
            raise told

        monkeypatch.setattr(type(shelf.system), "cat_file", refuse)
        with pytest.raises(StoreError, match=r"expected to read memory://.*/a, got: Access Denied"):
            shelf.read("a")

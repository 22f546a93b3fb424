"""The log is a chain: what was told stays, and what was changed is found."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from pithead.errors import EvidenceError, StoreError
from pithead.evidence import (
    MENDED,
    Log,
    Record,
    canonical,
    check_lines,
    check_signatures,
    extract,
    sign,
)

ROOT = Path(__file__).resolve().parents[1]
CHECKER = ROOT / "inference" / "check_chain.py"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "new" / "log.jsonl")


def filled(log: Log, count: int = 5) -> Log:
    for number in range(count):
        log.append("scene.added", {"scene": f"s{number}", "site": "갑산" if number % 2 else None})
    return log


def pems(key: Ed25519PrivateKey | X25519PrivateKey | None = None) -> tuple[bytes, bytes]:
    key = key or Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def checked(path: Path, *more: Path) -> subprocess.CompletedProcess[str]:
    # -I and -S: no environment and no site-packages, unless a signature is to be checked.
    flags = ["-I"] if more else ["-I", "-S"]
    command = [sys.executable, *flags, str(CHECKER), str(path), *map(str, more)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_chain_by_hand(log: Log) -> None:
    first = log.append("scene.added", {"b": 1.5, "a": ("x", None)})
    second = log.append("run.finished", {})
    assert (first.seq, first.previous) == (0, "0" * 64)
    assert (second.seq, second.previous) == (1, first.hash)
    assert first.facts == {"a": ["x", None], "b": 1.5}
    assert first.salt is not None
    assert len(first.salt) == 16
    facts = f'{{"facts":{{"a":["x",null],"b":1.5}},"salt":"{first.salt}"}}'
    assert first.facts_sha256 == hashlib.sha256(facts.encode()).hexdigest()
    linked = (
        f'{{"facts_sha256":"{first.facts_sha256}","kind":"scene.added","previous":"{"0" * 64}",'
        f'"seq":0,"time":"{first.time}"}}'
    )
    assert first.hash == hashlib.sha256(linked.encode()).hexdigest()
    assert first.time.endswith("Z")
    assert len(first.time) == len("2019-03-12T04:05:06.789Z")
    assert list(log.records()) == [first, second]
    assert log.head() == second
    assert log.path.read_bytes() == first.to_line() + second.to_line()


def test_an_empty_log(log: Log) -> None:
    assert log.head() is None
    assert list(log.records()) == []
    assert log.torn() == b""
    assert extract(log, lambda record: record.seq >= 0) == ()
    assert log.append_many([]) == ()
    assert log.head() is None


def test_many_at_once(log: Log) -> None:
    added = filled(log, 2).append_many([("sites.set", {"sha256": "a"}), ("run.failed", {"why": "x" * 9000})])
    assert [record.seq for record in added] == [2, 3]
    assert log.head() == added[1]  # longer than the block in which the end is looked for
    assert [record.seq for record in log.records()] == [0, 1, 2, 3]


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": object()}, {"a": b"bytes"}])
def test_facts_that_json_does_not_hold(log: Log, facts: dict[str, object]) -> None:
    filled(log, 1)
    before = log.path.read_bytes()
    with pytest.raises(EvidenceError, match="expected facts that JSON can hold"):
        log.append("scene.added", facts)
    assert log.path.read_bytes() == before


def _edited(line: bytes, **change: Any) -> bytes:  # noqa: ANN401
    return canonical({**json.loads(line), **change}) + b"\n"


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (
            2,
            lambda line: _edited(line, facts={"scene": "other", "site": None}),
            "expected facts with the sha256",
        ),
        (2, lambda line: _edited(line, salt="0" * 16), "expected facts with the sha256"),
        (2, lambda line: _edited(line, time="2019-01-01T00:00:00.000Z"), "expected a record with the hash"),
        (2, lambda line: _edited(line, kind="run.failed"), "expected a record with the hash"),
        (2, lambda line: _edited(line, seq="1"), "expected a whole number"),
        (2, lambda line: _edited(line, more=1), "expected a record as JSON"),
        (2, lambda line: line.replace(b":", b": ", 1), "expected a record in canonical JSON"),
        (2, b"{}\n", "expected a record as JSON"),
        (2, b"\n", "expected a record as JSON"),
        (2, b"\xff\n", "expected a record as JSON"),
        (2, b"", "expected record 1, got 2: records are missing or were added"),
        (2, lambda line: line + line, "expected record 2, got 1"),
    ],
)
def test_the_first_broken_link_is_named(
    log: Log, number: int, change: Any, message: str  # noqa: ANN401
) -> None:  # fmt: skip
    lines = filled(log).path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = change if isinstance(change, bytes) else change(lines[number - 1])
    log.path.write_bytes(b"".join(lines))
    where = number + (message == "expected record 2, got 1")
    with pytest.raises(EvidenceError, match=f"log.jsonl, line {where}: {message}"):
        list(log.records())


def test_a_chain_that_was_written_anew_from_a_place_breaks_there(log: Log) -> None:
    lines = filled(log).path.read_bytes().splitlines(keepends=True)
    forged = Record.after(Record.from_line(lines[0]), "scene.added", {"scene": "forged"})
    log.path.write_bytes(lines[0] + forged.to_line() + b"".join(lines[2:]))
    with pytest.raises(EvidenceError, match="line 3: expected record 2 to name"):
        list(log.records())
    forged_first = Record.after(None, "scene.added", {})
    log.path.write_bytes(lines[1])
    with pytest.raises(EvidenceError, match="line 1: expected record 0, got 1"):
        list(log.records())
    log.path.write_bytes(forged_first.to_line())
    assert list(log.records()) == [forged_first]


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_no_byte_can_be_changed_unseen(place: int, flip: int) -> None:
    first = Record.after(None, "scene.added", {"scene": "s", "n": 10})
    second = Record.after(first, "run.finished", {"rows": 3})
    content = bytearray(first.to_line() + second.to_line())
    content[place % (len(content) - 1)] ^= flip
    with pytest.raises(EvidenceError):
        list(check_lines(bytes(content).splitlines(keepends=True), "x", whole=True))


def test_a_torn_line_is_left_out_and_then_cut_off(log: Log) -> None:
    filled(log, 2)
    whole = log.path.read_bytes()
    torn = Record.after(log.head(), "run.finished", {"rows": 3}).to_line()[:-20]
    log.path.write_bytes(whole + torn)
    assert len(list(log.records())) == 2
    head = log.head()
    assert head is not None
    assert head.seq == 1
    assert log.torn() == torn
    added = log.append("run.finished", {"rows": 4})
    mended = list(log.records())[2]
    assert (mended.kind, mended.seq, added.seq) == (MENDED, 2, 3)
    assert mended.facts == {"cut_bytes": len(torn), "cut_sha256": hashlib.sha256(torn).hexdigest()}
    assert log.path.read_bytes() == whole + mended.to_line() + added.to_line()
    assert log.torn() == b""


def test_a_torn_first_line(log: Log) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(b'{"facts":')
    assert log.head() is None
    assert list(log.records()) == []
    log.append("scene.added", {})
    assert [record.kind for record in log.records()] == [MENDED, "scene.added"]


def test_a_last_record_without_the_end_of_its_line_stays(log: Log) -> None:
    # An editor, or a kill before the very last byte.
    filled(log, 2)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    assert len(list(log.records())) == 2
    log.append("scene.added", {"scene": "s2"})
    assert [record.kind for record in log.records()] == ["scene.added"] * 3


def test_nothing_is_added_to_a_log_whose_last_record_is_broken(log: Log) -> None:
    filled(log, 2)
    content = log.path.read_bytes().replace(b'"s1"', b'"s9"')
    log.path.write_bytes(content)
    with pytest.raises(EvidenceError, match="last record: expected facts"):
        log.append("scene.added", {})
    assert log.path.read_bytes() == content


def test_a_full_disk_adds_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(log, 2)
    before, pwrite = log.path.read_bytes(), os.pwrite

    def full(file: int, content: bytes, offset: int) -> int:
        if len(content) < 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, bytes(content)[: len(content) // 2], offset)  # half of it, as a disk may

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(
            StoreError, match=r"expected room for .* No space left on device: nothing was added"
        ):
            log.append("scene.added", {"scene": "s2"})
    assert log.path.read_bytes() == before
    log.append("scene.added", {"scene": "s2"})
    assert len(list(log.records())) == 3


def test_several_processes_append(log: Log) -> None:
    program = f"""
import sys
from pathlib import Path
from pithead.evidence import Log
for number in range(15):
    Log(Path({str(log.path)!r})).append("run.finished", {{"by": sys.argv[1]}})
"""
    writers = [subprocess.Popen([sys.executable, "-c", program, name], cwd=ROOT) for name in "abc"]
    while any(writer.poll() is None for writer in writers):
        list(log.records())
    told = [(record.facts or {})["by"] for record in log.records()]
    assert sorted(told) == sorted("abc" * 15)


def test_what_was_told_survives_a_kill(log: Log) -> None:
    program = f"""
from pathlib import Path
from pithead.evidence import Log
log = Log(Path({str(log.path)!r}))
while True:
    print(log.append("run.finished", {{"rows": list(range(500))}}).hash, flush=True)
"""
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(5)]
        os.kill(writer.pid, signal.SIGKILL)
        told += [line.strip() for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        assert set(told) <= {record.hash for record in log.records()}
    assert log.append("scene.added", {}) == list(log.records())[-1]


def test_a_long_log_is_not_read_to_add_one_record(log: Log) -> None:
    log.append_many([("run.finished", {"number": number}) for number in range(2_000)])
    log.path.write_bytes(b"x" * 1000 + log.path.read_bytes()[1000:])  # what is not read breaks nothing
    log.append("run.finished", {})
    head = log.head()
    assert head is not None
    assert head.seq == 2_000


def test_an_extract_tells_nothing_of_others_and_still_holds(log: Log, tmp_path: Path) -> None:
    filled(log)
    lines = extract(log, lambda record: (record.facts or {}).get("scene") in {"s1", "s3"})
    text = b"".join(lines)
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4]
    assert b'"s1"' in text
    assert b'"s3"' in text
    assert b'"s2"' not in text
    assert b'"s4"' not in text
    found = list(check_lines(lines, "part"))
    assert [record.facts is not None for record in found] == [True, False, True, False]
    part = tmp_path / "chain.jsonl"
    part.write_bytes(text)
    done = checked(part)
    assert done.stdout == "4 records hold together, 2 with their facts; 0 signatures\n"
    assert done.returncode == 0
    assert extract(log, lambda record: record.kind == "none") == ()


def _stray(seq: int) -> bytes:
    """A record with its own hashes that names nothing before it."""
    facts = {"facts": {"scene": "forged"}, "salt": "00"}
    linked = {"seq": seq, "time": "2026", "kind": "run.finished", "previous": None}
    linked["facts_sha256"] = hashlib.sha256(canonical(facts)).hexdigest()
    return canonical({**linked, **facts, "hash": hashlib.sha256(canonical(linked)).hexdigest()}) + b"\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'"s1"', b'"s9"'), *lines[2:]], "line 2: its facts"),
        (lambda lines: [lines[0], *lines[2:]], "line 2: it does not follow"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2: it does not follow"),
        (
            lambda lines: [lines[0], lines[1].replace(b"scene.added", b"scene.hidden"), *lines[2:]],
            "line 2: it does not have its own hash",
        ),
        (lambda lines: [*lines, lines[-1]], "line 6: it does not follow"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "line 5: "),
        (lambda lines: [*lines[:2], _stray(1000), *lines[2:]], "line 3: it does not follow"),
        (lambda lines: [lines[0][:1] + b'"facts":{"scene":"s9"},' + lines[0][1:]], "line 1: it has more"),
        (lambda lines: [_edited(lines[0], note="s9")], "line 1: it has more"),
    ],
)
def test_the_checker_names_the_first_broken_line(
    log: Log, tmp_path: Path, change: Any, message: str  # noqa: ANN401
) -> None:  # fmt: skip
    lines = filled(log).path.read_bytes().splitlines(keepends=True)
    part = tmp_path / "chain.jsonl"
    part.write_bytes(b"".join(change(lines)))
    done = checked(part)
    assert done.returncode == 1
    assert done.stdout == ""
    line, reason = message.split(": ")
    assert done.stderr.startswith(f"{line}: the chain is broken here: {reason}")


def test_a_signed_head(log: Log, tmp_path: Path) -> None:
    private, public = pems()
    filled(log, 3)
    record = sign(log, private)
    assert record.kind == "head.signed"
    assert record.facts is not None
    assert record.facts["seq"] == 2
    log.append("scene.added", {"scene": "s3"})
    (found,) = check_signatures(log.records(), public)
    assert (found.seq, found.time) == (2, record.time)
    assert found.public_key == record.facts["public_key"]
    assert len(check_signatures(log.records())) == 1
    assert check_signatures(log.records(), pems()[1]) == ()
    part, key = tmp_path / "chain.jsonl", tmp_path / "key.pem"
    part.write_bytes(b"".join(extract(log, lambda record: (record.facts or {}).get("scene") == "s1")))
    key.write_bytes(public)
    assert checked(part, key).stdout.endswith("; 1 signature by the key, up to record 2\n")
    assert checked(part, Path("--key"), key).stdout == checked(part, key).stdout
    assert checked(part).stdout.endswith("; 1 signature, not checked (no key given)\n")
    key.write_bytes(pems()[1])
    assert checked(part, key).stderr == "no signature by this key covers this chain\n"


def test_the_checker_holds_the_file_to_its_export(log: Log, tmp_path: Path) -> None:
    private, public = pems()
    file, scenes, other = (tmp_path / name for name in ("camp.gpkg", "camp.gpkg.scenes.csv", "other.gpkg"))
    for path in (file, scenes, other):
        path.write_text(path.name)
    filled(log, 2)
    sign(log, private)  # record 2
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (file, scenes)]
    log.append("export.made", {"sha256": hashes[0], "scenes_sha256": hashes[1]})
    key = tmp_path / "key.pub"
    key.write_bytes(public)
    for path in (file, scenes):
        done = checked(log.path, Path("--file"), path)
        assert done.stdout.endswith(f"not checked (no key given); {path.name} is the file of record 3\n")
    # Whoever has the chain can put a record of any file behind what is signed.
    done = checked(log.path, Path("--key"), key, Path("--file"), file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is the file of record 3, but the key has signed up to record 1 only" in done.stderr
    done = checked(log.path, Path("--file"), other)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not the file that was exported with this chain" in done.stderr
    sign(log, private)
    done = checked(log.path, Path("--key"), key, Path("--file"), file)
    assert done.stdout.endswith(
        "; 2 signatures by the key, up to record 3; camp.gpkg is the file of record 3\n"
    )
    # The same file exported once more, and an old signature that somebody put in again, unsay nothing.
    log.append("export.made", {"sha256": hashes[0], "scenes_sha256": hashes[1]})
    log.append("head.signed", next(r.facts for r in log.records() if r.kind == "head.signed" and r.facts))
    done = checked(log.path, Path("--key"), key, Path("--file"), file)
    assert done.stdout.endswith("up to record 3; camp.gpkg is the file of record 3\n")
    # A record of the export without its facts says nothing of any file.
    bare = tmp_path / "bare.jsonl"
    bare.write_bytes(b"".join(record.without_facts().to_line() for record in log.records()))
    assert checked(bare, Path("--file"), file).returncode == 1


def test_a_wrong_command_is_not_a_broken_chain(log: Log, tmp_path: Path) -> None:
    private, public = pems()
    sign(filled(log, 2), private)
    files = {
        "secret.pem": private, "key.pub": public, "x.pub": pems(X25519PrivateKey.generate())[1],
        "camp.gpkg": b"SQLite format 3\0" + bytes(range(256)), "cut.pub": public[:60],
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    def refused(*words: object) -> str:
        done = checked(*map(Path, map(str, words)))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        return done.stderr

    for name in ("camp.gpkg", "secret.pem", "x.pub", "cut.pub"):
        told = refused(log.path, tmp_path / name)
        assert told.startswith(f"wrong key: {tmp_path / name} is no public Ed25519 key")
        assert ("this is a private key" in told) == (name == "secret.pem")
    assert "cannot be read: No such file" in refused(log.path, tmp_path / "none.pub")
    assert "cannot be read: No such file" in refused(tmp_path / "none.jsonl")
    assert "cannot be read: No such file" in refused(log.path, "--file", tmp_path / "none.gpkg")
    assert "which has no record" in refused(tmp_path / "camp.gpkg")
    assert "required: chain" in refused("--key", tmp_path / "key.pub")
    command = [sys.executable, "-I", "-S", str(CHECKER)]
    bare = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stderr.count("\n")) == (2, 1)
    absent = subprocess.run(
        [*command, log.path, tmp_path / "key.pub"], capture_output=True, text=True, check=False
    )
    assert (absent.returncode, absent.stderr.count("\n")) == (2, 1)
    assert "takes the package cryptography" in absent.stderr
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert "--file" in told.stdout


def test_a_part_that_begins_after_what_was_signed(log: Log) -> None:
    private, public = pems()
    sign(filled(log, 3), private)
    log.append("scene.added", {"scene": "s3"})

    def part(first: str) -> list[Record]:
        lines = extract(log, lambda record: (record.facts or {}).get("scene") == first)
        return list(check_lines(lines, "part"))

    assert len(check_signatures(part("s2"), public)) == 1
    assert check_signatures(part("s3"), public) == ()


def test_a_chain_written_anew_does_not_fit_its_signature(log: Log, tmp_path: Path) -> None:
    private, public = pems()
    signature = sign(filled(log, 3), private)
    log.path.unlink()
    filled(log, 3)
    log.append("head.signed", signature.facts or {})
    with pytest.raises(EvidenceError, match=r"expected record 2 with the hash .* that was signed, got"):
        check_signatures(log.records(), public)
    key = tmp_path / "key.pem"
    key.write_bytes(public)
    assert "line 4: the chain is broken here: its signature does not fit" in checked(log.path, key).stderr
    log.append("head.signed", {**(signature.facts or {}), "signature": "AAAA"})
    with pytest.raises(EvidenceError, match="signature"):
        check_signatures(list(log.records())[4:])


def test_keys_that_do_not_sign(log: Log) -> None:
    with pytest.raises(EvidenceError, match="expected a log with a record to sign"):
        sign(log, pems()[0])
    filled(log, 1)
    with pytest.raises(EvidenceError, match="expected a private key as PEM"):
        sign(log, b"no key")
    with pytest.raises(
        EvidenceError, match="expected an Ed25519 key, got X25519PrivateKey: make one with openssl"
    ):
        sign(log, pems(X25519PrivateKey.generate())[0])
    with pytest.raises(EvidenceError, match="expected a public key as PEM"):
        check_signatures([], b"no key")
    with pytest.raises(EvidenceError, match="expected an Ed25519 key"):
        check_signatures([], pems(X25519PrivateKey.generate())[1])
    log.path.write_bytes(log.path.read_bytes().replace(b'"s0"', b'"s9"'))
    with pytest.raises(EvidenceError, match="line 1"):
        sign(log, pems()[0])

"""A program where there is no network but this machine's own loopback, and what it tried to reach there.

    unshare -rn python tests/cut_off.py REPORT COMMAND…

runs the command and writes to REPORT, as JSON, what the kernel and Python saw: the kernel counts whatever
found no way out, from C code too; a hook in every Python notes names and addresses of other machines.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Final

SIOCSIFFLAGS: Final = 0x8914
UP: Final = 0x1 | 0x40  # and running
COUNTED: Final = frozenset({"OutNoRoutes", "NoPorts"})
"""Of IP, what had nowhere to go; of UDP, what nobody listened for, such as a resolver on loopback."""
EVENTS: Final = frozenset(
    {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
)


def bring_up_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP))


def counted() -> int:
    """How many packets of this network had nowhere to go, so far."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    total = 0
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        told = zip(names[1:], values[1:], strict=True)
        total += sum(int(value) for name, value in told if name in COUNTED)
    six = Path("/proc/net/snmp6")
    for name, value in (line.split() for line in (six.read_text().splitlines() if six.exists() else ())):
        total += int(value) if name in {"Ip6OutNoRoutes", "Udp6NoPorts"} else 0
    return total


def is_here(host: object) -> bool:
    """Whether a name or address is of this machine; of names only localhost is, and that of the machine."""
    text = host.decode() if isinstance(host, bytes) else host
    if not isinstance(text, str) or text in {"", "localhost", socket.gethostname()}:
        return True
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def listen() -> None:
    """Note from now on what this Python asks for."""
    noted = os.environ["CUT_OFF_NOTES"]

    def hear(event: str, told: tuple[object, ...]) -> None:
        if event not in EVENTS:
            return
        asked = told[1] if event in {"socket.connect", "socket.sendto"} else told[0]
        host = asked[0] if isinstance(asked, tuple) else asked if "get" in event else None
        if not is_here(host):
            with open(noted, "a", encoding="utf-8") as file:  # noqa: PTH123 (pathlib may not be loaded yet)
                file.write(f"{event} {host} by {' '.join(sys.orig_argv)[:200]}\n")

    sys.addaudithook(hear)


def main() -> None:
    report = Path(sys.argv[1])
    hooks = report.with_suffix(".hooks")
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport cut_off\ncut_off.listen()\n"
        "sys.path.pop()\n"
    )
    notes = report.with_suffix(".notes")
    notes.touch()
    bring_up_loopback()
    before = counted()
    path = os.pathsep.join(filter(None, [str(hooks), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, "CUT_OFF_NOTES": str(notes)}
    done = subprocess.run(sys.argv[2:], env=environment, check=False)
    told = {"status": done.returncode, "lost": counted() - before, "asked": notes.read_text().splitlines()}
    report.write_text(json.dumps(told))


if __name__ == "__main__":
    main()

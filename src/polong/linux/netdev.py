"""Counters of network interfaces, as one process sees them. Source: proc_pid_net(5), /proc/<pid>/net/dev."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Of the sixteen columns: receive bytes, packets, errs, drop; transmit the same, eight further on.
_COLUMNS = 16


@dataclass(frozen=True)
class Interface:
    """Since the interface was made."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def parse(text: str) -> list[Interface]:
    """The lines that are well-formed, in the kernel's order."""
    found = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        numbers = [int(word) for word in rest.split() if word.isdigit()]
        if colon and len(numbers) == _COLUMNS:
            found.append(Interface(name.strip(), *numbers[:4], *numbers[8:12]))
    return found


def of_process(pid: int, root: Path = PROC) -> list[Interface]:
    """In the network namespace of that process; ProcessLookupError where it is gone."""
    try:
        return parse((root / str(pid) / "net" / "dev").read_text(encoding="ascii", errors="replace"))
    except OSError:
        raise ProcessLookupError(f"no process {pid}") from None

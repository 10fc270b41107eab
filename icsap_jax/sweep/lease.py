"""Who works on a group: a file beside its folder, there while its owner lives. No jax.

Two processes must never write one group, and machines that share the work may share nothing but a file system. So whoever wants a group
first puts a file of its own beside it and only then looks who else did: of two, the later one sees the earlier one's, and takes its own
away again. Where each sees the other's both do, and come back after a moment of random length.

The owner touches its file every few seconds. A file whose owner is gone is removed by whoever finds it: at once where that was a process
of this machine, and elsewhere when it was not touched for two minutes, more than a network file system may take to show it. Ages are
differences between times of files in one folder, so that the clocks of machines need not agree.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from icsap_jax.config import ConfigError
from icsap_jax.files import disk_faults, write_json

BEAT = 10.0  # seconds from touch to touch
QUIET = 120.0  # seconds without one after which an owner is taken for gone
AGAIN = 2.0  # seconds after which one who waits looks again
TRIES = 4  # before a group counts as held: another who found it held may just be taking its file away


class Held(ConfigError):
    """Somebody else works on the group."""


@dataclass(frozen=True)
class Lease:
    """The right to write what lies at `place`, as long as the file at `path` stands."""

    place: Path
    path: Path

    def check(self) -> None:
        """Raise ConfigError when it was lost: this process gave no sign of life, and somebody went on in its place."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            raise ConfigError(f"{self.place}: another process has gone on with this, as this one gave no sign of life for {QUIET:.0f} s; "
                              "nothing more is written here.") from None

    def age(self, seen: Lease) -> float:
        """Seconds between the last touch of another's file and of this one. Raises FileNotFoundError when either is gone."""
        return _touched(self.path) - _touched(seen.path)


@contextmanager
def held(place: Path) -> Iterator[Lease]:
    """Inside, nobody else has `place`. Raises Held, a ConfigError, where somebody has; nothing is waited for."""
    lease, quiet = taken(place), threading.Event()
    beat = threading.Thread(target=_touch, args=(lease, quiet), daemon=True)
    beat.start()
    try:
        yield lease
    finally:
        quiet.set()
        beat.join()
        lease.path.unlink(missing_ok=True)


@contextmanager
def awaited(place: Path, say: Callable[[str], None]) -> Iterator[Lease]:
    """As `held`, once whoever has `place` is done with it or gone. `say` hears, once, who is waited for."""
    with ExitStack() as stack:
        told = False
        while True:
            try:
                lease = stack.enter_context(held(place))
                break
            except Held as error:
                if not told:
                    say(f"waiting: {error}")
                told = True
            time.sleep(AGAIN)
        yield lease


def taken(place: Path) -> Lease:
    """A lease of `place`, not yet kept alive. Raises Held."""
    who = ""
    for _ in range(TRIES):
        own = _announced(place)
        try:
            others = [other for other in _leases(place) if other != own and not _gone(other, own)]
        except BaseException:
            own.path.unlink(missing_ok=True)
            raise
        if not others:
            return own
        own.path.unlink(missing_ok=True)
        who = _owner(others[0]).get("process", "another process")
        time.sleep(random.uniform(0.02, 0.2))
    raise Held(f"{place}: {who} works on this; let it finish, or stop it first. Where it ended without a word this is free within "
               f"{QUIET:.0f} s.")


def _announced(place: Path) -> Lease:
    """This process's file beside `place`, written whole."""
    path = place.with_name(f"{place.name}.lease-{uuid.uuid4().hex}")
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    pid = os.getpid()
    write_json(path, {"process": f"process {pid} on {socket.gethostname()}", "machine": _machine(), "pid": pid, "began": _began(pid)})
    return Lease(place, path)


def _leases(place: Path) -> list[Lease]:
    return [Lease(place, path) for path in sorted(place.parent.glob(f"{place.name}.lease-*"))]


def _gone(other: Lease, own: Lease) -> bool:
    """Whether another's lease counts no more; then its file is removed."""
    who = _owner(other)
    try:
        dead = _began(who["pid"]) != who["began"] if who.get("machine") == _machine() else own.age(other) > QUIET
    except FileNotFoundError:
        return True
    if dead:
        other.path.unlink(missing_ok=True)
    return dead


def _owner(lease: Lease) -> dict[str, Any]:
    """What the owner wrote of itself; nothing where that cannot be read."""
    try:
        found = json.loads(lease.path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) and {"machine", "pid", "began"} <= set(found) else {}
    except (OSError, ValueError):
        return {}


def _touched(path: Path) -> float:
    """When a file was last touched. Opened first: a network file system then asks its server anew."""
    with path.open("rb") as file:
        return os.fstat(file.fileno()).st_mtime


def _touch(lease: Lease, quiet: threading.Event) -> None:
    """Keep a lease alive until `quiet`, or until somebody removed it."""
    while not quiet.wait(BEAT):
        try:
            os.utime(lease.path)
        except FileNotFoundError:
            return
        except OSError:
            continue  # the file system may come back


@cache
def _machine() -> str:
    """What tells this system of processes from every other: containers on one machine count their processes each for itself, and one that
    was started anew counts them anew."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _began(pid: int) -> str | None:
    """When a process of this machine began, by the system's own count, since numbers are given to new processes again; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # Z: killed, and its parent has not yet asked
    except FileNotFoundError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # no /proc here (macOS): the number alone must do
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "alive"

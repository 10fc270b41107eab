"""What one machine of a cluster does with a group: the local runner's work, told to the driver as it goes, until it wants it to stop.

Nothing comes back through Ray but how a task ended, since all else is written to the sweep's folder, which every machine sees.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from icsap_jax.config import ConfigError
from icsap_jax.sweep import folder, lease

PAUSE = 0.5  # seconds between two looks at what the other side says
PATIENCE = 10.0  # seconds to look for the sweep's folder: a network file system may be slow to show what was just written
BEGUN, SAYS, DONE = "begun", "says", "done"
FINISHED, STOPPED, WRONG, ELSEWHERE = "finished", "stopped", "wrong", "elsewhere"

Event = tuple[int, str, str]  # the group, which of BEGUN, SAYS and DONE, and a text


class Ear:
    """What tasks say, until the driver asks for it; and whether it wants them to stop. Run as an actor."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.stopping = False

    def tell(self, events: list[Event]) -> bool:
        """Take these in; whether to stop."""
        self.heard += events
        return self.stopping

    def hear(self) -> list[Event]:
        """What was said since the last time."""
        heard, self.heard = self.heard, []
        return heard

    def stop(self) -> None:
        """From now on, tell whoever speaks to stop."""
        self.stopping = True


def work(mark: str, number: int, ear: Any) -> tuple[str, str]:
    """A task: what the local runner does with a group, and how it ended. `mark` is a file in the sweep's folder."""
    out, mouth = Path(mark).parent, Mouth(ear, number)
    if not _seen(Path(mark)):
        return ELSEWHERE, (f"{out}: the machine {socket.gethostname()} of the Ray cluster does not see this folder; give --out a folder on "
                           "a file system that every machine has, at the same path.")
    # The driver's wish comes as a signal would, so that a task stops as a local run does: the chunk is finished, and written.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with mouth.open():
            _train(out, number, mouth)
        return FINISHED, ""
    except ConfigError as error:
        return WRONG, str(error)
    except KeyboardInterrupt:
        return STOPPED, ""


def _train(out: Path, number: int, mouth: Mouth) -> None:
    """Run a group once nobody else does."""
    from icsap_jax.config.plugins import faults_named
    from icsap_jax.sweep import groups

    with faults_named(), lease.awaited(out / folder.GROUPS / str(number), mouth.say) as own:
        sweep = folder.reopened(out)
        tally = groups.tally_of(sweep, out, [number])
        tally.after = mouth.done

        def say(text: str) -> None:
            own.check()
            mouth.say(text)

        groups.run_group(out, number, say, sweep, tally)


class Mouth:
    """A task's side of the ear: lines are gathered and told twice a second, progress lines only the last."""

    def __init__(self, ear: Any, number: int) -> None:
        self.ear, self.number = ear, number
        self.events: list[Event] = [(number, BEGUN, f"process {os.getpid()} on {socket.gethostname()}")]
        self.lock, self.closing, self.stopped = threading.Lock(), threading.Event(), False

    def say(self, text: str) -> None:
        """Pass a line on."""
        with self.lock:
            if self.events and text.startswith("\r") and self.events[-1][2].startswith("\r"):
                self.events.pop()
            self.events.append((self.number, SAYS, text))

    def done(self) -> None:
        """Pass on that a member is finished."""
        with self.lock:
            self.events.append((self.number, DONE, ""))

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Inside, what is said is told, and the driver's wish to stop arrives as an interrupt."""
        self._tell()
        if self.stopped:
            raise KeyboardInterrupt
        teller = threading.Thread(target=self._keep_telling, daemon=True)
        teller.start()
        try:
            yield
        finally:
            self.closing.set()
            teller.join()
            self._tell()

    def _keep_telling(self) -> None:
        while not self.closing.wait(PAUSE):
            before = self.stopped
            self._tell()
            if self.stopped and not before:
                _thread.interrupt_main()

    def _tell(self) -> None:
        import ray

        with self.lock:
            events, self.events = self.events, []
        with contextlib.suppress(ray.exceptions.RayError):  # the driver is gone, and Ray will end this worker
            self.stopped = ray.get(self.ear.tell.remote(events)) or self.stopped


def _seen(mark: Path) -> bool:
    """Whether this machine sees a file; one just made may take a network file system some seconds to show."""
    until = time.monotonic() + PATIENCE
    while not mark.exists():
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True

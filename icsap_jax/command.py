"""What every command has in common: what it raises becomes a sentence and an exit status, and how it says how far it is.

Exit status: 0 done; 2 what the user gave is wrong, said in one sentence; 1 our fault; 130 interrupted, 143 terminated. No jax here.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from icsap_jax.config import ConfigError
from icsap_jax.config.plugins import faults_named
from icsap_jax.files import disk_fault


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever writes a checkpoint on Ctrl-C does so here too."""


def listen() -> None:
    """From now on SIGTERM raises Terminated."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Guard a command: what it raises becomes a sentence and an exit status."""

    @functools.wraps(function)
    def guarded(*args: Any, **keywords: Any) -> None:
        try:
            with faults_named():
                function(*args, **keywords)
        except ConfigError as error:
            if os.environ.get("ICSAP_TRACEBACK") == "1" and error.__cause__ is not None:
                raise
            _leave(2, str(error))
        except Terminated:
            _leave(143, "Terminated.")
        except KeyboardInterrupt:
            _leave(130, "Interrupted.")
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # The reader, `head` say, has seen enough; nothing may be flushed to it when Python closes.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except Exception as error:
            _explain(error)

    return guarded


def _explain(error: Exception) -> None:
    """Leave because of an error nobody expected, or one of the machine's that the user can mend."""
    if os.environ.get("ICSAP_TRACEBACK") == "1":
        raise error
    if isinstance(error, OSError):
        fault = disk_fault(error, Path(error.filename or "The disk"))
        if fault is not None:
            _leave(2, fault)
    text = " ".join(str(error).split())
    _leave(1, f"icsap failed, and not through your input: {type(error).__name__}: {text[:300]}. "
              "Set ICSAP_TRACEBACK=1 to see where, and please report it.")


def _leave(status: int, text: str) -> None:
    typer.echo(text, err=True)
    raise typer.Exit(status) from None


class Progress:
    """Says things on standard error. A line that begins with a carriage return is a progress line: each replaces the one before
    it on a terminal, and in a log file one is kept every ten seconds."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.open = False
        self.last = -10.0

    def __call__(self, text: str) -> None:
        if not text.startswith("\r"):
            sys.stderr.write(("\n" if self.open else "") + text + "\n")
            self.open = False
        elif self.terminal:
            sys.stderr.write(f"\r\033[K{text[1:]}")
            self.open = True
        elif time.monotonic() - self.last >= 10.0:
            sys.stderr.write(text[1:] + "\n")
            self.last = time.monotonic()
        sys.stderr.flush()

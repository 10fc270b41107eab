"""Leases: whatever happens, two never work on one group, and nobody waits for the dead. No jax here."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from icsap_jax.config import ConfigError
from icsap_jax.sweep import lease


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice is enough to find a group held here."""
    monkeypatch.setattr(lease, "TRIES", 2)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A group's folder, which need not be there yet."""
    return tmp_path / "groups" / "0"


def another(place: Path, quiet: float = 0, **about: object) -> Path:
    """A lease that another process left beside `place`, touched so many seconds ago: of another machine, unless `about` says more of it."""
    path = place.with_name(f"{place.name}.lease-another")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"process": "process 7 on far", "machine": "far", "pid": 7, "began": "1", **about}))
    os.utime(path, (time.time() - quiet,) * 2)
    return path


def files(place: Path) -> list[str]:
    """What lies beside it."""
    return sorted(path.name for path in place.parent.iterdir())


def test_what_is_held_is_refused_to_others_and_then_free(place: Path) -> None:
    """The sentence names who has it; nothing is left behind by either."""
    with lease.held(place) as own:
        with pytest.raises(ConfigError, match=rf"groups/0: process {os.getpid()} on .* works on this; let it finish"), lease.held(place):
            pytest.fail("held twice")
        own.check()
        assert len(files(place)) == 1
    with lease.held(place):
        pass
    assert files(place) == []


def test_groups_do_not_stand_in_each_others_way(place: Path) -> None:
    """Group 1 is free while group 10 is held."""
    with lease.held(place.with_name("10")), lease.held(place.with_name("1")):
        assert len(files(place)) == 2


@pytest.mark.parametrize("gone", [{"pid": os.getpid(), "began": "then"}, {"pid": 2**22 + 1}], ids=["number given anew", "no process"])
def test_a_dead_process_of_this_machine_holds_nothing(place: Path, gone: dict[str, object]) -> None:
    """However lately it gave a sign of life."""
    path = another(place, machine=lease._machine(), **gone)
    with lease.held(place):
        assert not path.exists()


def test_another_machine_is_believed_until_it_is_quiet(place: Path) -> None:
    """Its processes cannot be asked, only its file be looked at; what does not tell who wrote it counts alike."""
    another(place, quiet=lease.QUIET - 20)
    with pytest.raises(lease.Held, match="process 7 on far"), lease.held(place):
        pytest.fail("taken from the living")
    path = another(place, quiet=lease.QUIET + 20)
    with lease.held(place):
        assert not path.exists()
    path.write_text("not json")
    with pytest.raises(lease.Held, match="another process works on this"), lease.held(place):
        pytest.fail("taken from the living")


def test_an_owner_gives_signs_of_life_and_notices_its_loss(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is touched while the block lasts. One that was taken for gone hears that it is not to write any more."""
    monkeypatch.setattr(lease, "BEAT", 0.01)
    with lease.held(place) as own:
        os.utime(own.path, (0, 0))
        until = time.monotonic() + 20
        while own.path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert own.path.stat().st_mtime > 0
        own.path.unlink()
        with pytest.raises(ConfigError, match="another process has gone on with this"):
            own.check()


def test_of_many_at_once_one_works_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All get their turn, and no two ever at once; who has to wait says so, once."""
    monkeypatch.setattr(lease, "AGAIN", 0.01)
    inside, most, turns, said = [0], [0], [0], list[str]()

    def work() -> None:
        with lease.awaited(place, said.append):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            turns[0] += 1
            inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert (turns[0], most[0]) == (6, 1)
    assert len(said) <= 6 and all(line.startswith("waiting: ") for line in said)
    assert files(place) == []

"""What a process can know of the life of others."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from kombu_pool.transport import processes

#: More than any system gives to a process.
NO_PID = 2**22 + 1


@pytest.fixture
def child():
    """A living process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def name_of(pid):
    return f"{processes.machine()}:{pid}:{processes._started(pid)}"


@pytest.mark.parametrize("owner", ["0123456789abcdef", "", ":", "elsewhere:1:2:3", f"elsewhere:{NO_PID}:1:x"])
def test_the_connections_of_other_machines_are_not_judged(owner):
    assert not processes.is_dead(owner)


def test_a_connection_of_this_process_lives_until_its_end():
    owner = processes.new_owner_id()
    alive = processes.is_dead(owner)
    processes.retire(owner)

    assert (alive, processes.is_dead(owner)) == (False, True)
    assert processes.process_of(owner) == processes.process()
    assert not processes.has_died(processes.process())


def test_a_process_that_has_ended_is_dead(child):
    name = name_of(child.pid)
    alive = processes.has_died(name)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    as_zombie = processes.has_died(name)
    child.wait()

    assert (alive, as_zombie, processes.has_died(name)) == (False, True, True)


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(child):
    assert processes.has_died(f"{processes.machine()}:{child.pid}:0")
    assert not processes.has_died(name_of(child.pid))


def test_a_process_that_the_system_hides_may_live(child, monkeypatch):
    name = name_of(child.pid)
    monkeypatch.setattr(processes, "_started", lambda _: "")

    assert not processes.has_died(name)


def test_a_process_of_another_user_lives(child, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)

    assert not processes.has_died(name_of(child.pid))
    assert not processes.has_died(f"{processes.machine()}:{NO_PID}:1")


def judge_as_nobody(name):
    os.setuid(65534)
    return processes.machine(), processes.has_died(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_of_root_is_judged_by_others(child):
    judge = [(judge_as_nobody, name_of(child.pid)), (judge_as_nobody, f"{processes.machine()}:{child.pid}:0")]

    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        answers = [executor.submit(*each).result() for each in judge]

    assert answers == [(processes.machine(), False), (processes.machine(), True)]


@pytest.mark.parametrize("part", ["boot", "namespace", "machine"])
def test_the_name_of_a_machine_has_its_boot_its_namespace_and_its_own_id(part, monkeypatch):
    processes.machine.cache_clear()
    before = processes.machine()
    other = {
        "boot": (processes.SYSTEM_CLOCK, "boot_id"),
        "namespace": (processes, "_pid_namespace"),
        "machine": (processes, "_machine_id"),
    }
    monkeypatch.setattr(*other[part], lambda: "another")
    processes.machine.cache_clear()
    changed = processes.machine()
    monkeypatch.undo()
    processes.machine.cache_clear()

    assert changed != before == processes.machine()


def test_a_machine_that_does_not_tell_its_boot_has_no_name(monkeypatch):
    monkeypatch.setattr(processes.SYSTEM_CLOCK, "boot_id", lambda: "")
    processes.machine.cache_clear()
    unknown = processes.machine()
    namesake = f"{processes.process()}:of another machine"
    is_dead = processes.is_dead(namesake)
    monkeypatch.undo()
    processes.machine.cache_clear()

    assert (unknown, is_dead) == ("", False)
    assert not processes.has_died(f":{NO_PID}:1")


def test_the_start_time_is_the_twenty_second_field(child):
    fields = Path(f"/proc/{child.pid}/stat").read_text().split(") ")[1].split()

    assert processes._started(child.pid) == fields[22 - 3]

from __future__ import annotations

import threading

import pytest

from kombu_pool import errors
from kombu_pool.pooling import DataDriver
from kombu_pool.pooling.cache import ProcessCache
from tests.support.pooling.switchable_stores import bodies, post


class DictCache(dict):
    """A cache that never expires a value, and has only the three methods."""

    def set(self, key, value):
        self[key] = value

    def delete(self, key):
        del self[key]


class NoValue:
    """The answer of a dogpile region for a missing key: a falsy object of its own, not None."""

    def __bool__(self):
        return False


class Region:
    """A cache with the answers of a dogpile region."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key, NoValue())

    def set(self, key, value):
        self.values[key] = value

    def delete(self, key):
        self.values.pop(key, None)


class BrokenCache:
    def get(self, key):
        raise OSError("no cache")

    set = delete = get


class CountingCatalogue:
    """Counts the reads of an assignment from the control store."""

    def __init__(self, control, monkeypatch):
        self.reads = 0
        self._get = control.catalogue_controller.get
        monkeypatch.setattr(control.catalogue_controller, "get", self.get)

    def get(self, project, queue):
        self.reads += 1
        return self._get(project, queue)


@pytest.mark.parametrize("make", [DictCache, Region])
def test_processes_that_share_a_cache_spare_each_other_the_question(populated, clock, monkeypatch, make):
    cache = make()
    control = populated.control
    first, second = (DataDriver(None, cache, control, clock=clock) for _ in range(2))
    assert first.catalog.pool_of("of-a") == "a"
    counting = CountingCatalogue(control, monkeypatch)

    assert second.catalog.pool_of("of-a") == "a"
    assert second.catalog.lookup("of-a") is not None

    assert counting.reads == 0


@pytest.mark.parametrize("make", [DictCache, Region])
def test_a_cache_that_expires_nothing_is_believed_no_longer_than_the_ttl(populated, clock, make):
    driver = DataDriver(None, make(), populated.control, clock=clock)
    assert driver.catalog.pool_of("of-a") == "a"
    populated.control.catalogue_controller.update(None, "of-a", "b")

    clock.advance(9)
    still = driver.catalog.pool_of("of-a")
    other = DataDriver(None, driver.catalog._assignments._cache, populated.control, clock=clock)
    assert other.catalog.lookup("of-a") is not None
    clock.advance(1.1)

    assert still == "a"
    assert driver.catalog.pool_of("of-a") == "b"
    assert other.catalog.pool_of("of-a") == "b", "a cached assignment keeps its age in another process"


@pytest.mark.parametrize("make", [DictCache, Region])
def test_the_cache_forgets_a_queue_after_its_row_was_deleted(populated, clock, monkeypatch, make):
    cache = make()
    driver = DataDriver(None, cache, populated.control, clock=clock)
    driver.catalog.lookup("of-a")
    cached_before = []
    delete = populated.control.catalogue_controller.delete
    monkeypatch.setattr(
        populated.control.catalogue_controller,
        "delete",
        lambda *key: (cached_before.append(bool(cache.get(("kombu_pool", "pool", None, "of-a")))), delete(*key)),
    )

    driver.catalog.deregister("of-a")

    assert cached_before == [True], "if it were removed before the row, a concurrent reader could cache it again"
    assert not cache.get(("kombu_pool", "pool", None, "of-a"))
    assert driver.catalog.lookup("of-a") is None


@pytest.mark.parametrize("make", [DictCache, Region])
def test_cache_keys_do_not_collide(populated, clock, make):
    driver = DataDriver(None, make(), populated.control, clock=clock)
    assignments = {("a", "b/c"): "a", ("a/b", "c"): "b", (None, "q"): "a", ("None", "q"): "b", ("", "q"): "b"}
    for (project, queue), pool in assignments.items():
        populated.control.catalogue_controller.insert(project, queue, pool)

    for _ in range(2):
        assert {key: driver.catalog.pool_of(key[1], key[0]) for key in assignments} == assignments


def test_a_cache_that_fails_is_only_a_miss(populated, clock):
    driver = DataDriver(None, BrokenCache(), populated.control, clock=clock)

    driver.queue_controller.create("of-a")
    post(driver, "of-a", 1)
    driver.queue_controller.delete("of-b")

    assert bodies(driver, "of-a") == [1]
    with pytest.raises(errors.QueueDoesNotExist):
        post(driver, "of-b", 1)


def test_what_a_stranger_left_in_the_cache_is_only_a_miss(populated, clock):
    cache = DictCache({("kombu_pool", "pool", None, "of-a"): 42})
    driver = DataDriver(None, cache, populated.control, clock=clock)

    assert driver.catalog.pool_of("of-a") == "a"


def test_without_a_cache_a_process_still_remembers(populated, monkeypatch):
    populated.catalog.lookup("of-a")
    counting = CountingCatalogue(populated.control, monkeypatch)

    threads = [threading.Thread(target=populated.catalog.lookup, args=("of-a",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counting.reads == 0


def test_many_queues_do_not_fill_the_memory(populated, monkeypatch):
    monkeypatch.setattr("kombu_pool.pooling.catalog._MAX_ROUTES", 10)

    for number in range(35):
        populated.catalog.register(f"q{number}")
        populated.catalog.lookup(f"q{number}")

    assert len(populated.catalog._routes) <= 10


def test_the_cache_of_a_process_is_emptied_when_it_is_full():
    cache = ProcessCache(size=3)

    for number in range(7):
        cache.set(number, "a")

    assert [number for number in range(7) if cache.get(number)] == [6]

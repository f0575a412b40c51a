"""Random schedules of some operations, replayed on a store whose code is not that of the model."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from kombu_pool.testing import ManualClock
from tests.support.conformance.stores import STORES_OF_ONE_PROCESS
from tests.support.model.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def replay(
    store: str, folder: Path, cases: Sequence[tuple[Any, ...]], world: Any, play: Callable[..., list[str]],
    *, replays: int, steps: int, stops: int, seed: int,
) -> None:  # fmt: skip
    """Play random cases in random orders of ``steps``; of each third one a process stops within ``stops`` steps."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for number in range(replays):
        uris: dict[str, str] = {}
        # A folder of its own: MongoDB's databases of the replay before are emptied, and used again.
        of_replay = folder / str(number)
        of_replay.mkdir()

        def uri(name: str, of_replay: Path = of_replay, uris: dict[str, str] = uris) -> str:
            if name not in uris:
                uris[name] = STORES_OF_ONE_PROCESS[store].uri(of_replay, name)
            return uris[name]

        start, names, _ = chance.choice(cases)
        stopped = {0: chance.randint(1, stops)} if chance.random() < 0.3 else {}
        schedule = Schedule([chance.randrange(3) for _ in range(steps)])
        played = world(uri, ManualClock())
        faults = play(played, schedule, start, names, stopped)
        played.close()
        assert not faults, (number, start.__name__, names, stopped, schedule.taken, faults)

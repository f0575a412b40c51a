"""Follows a page as a reader does: each block in its order, pasted as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.docs.not_run import NOT_RUN
from tests.support.docs.pages import sections
from tests.support.docs.terminal import file_of
from tests.support.limits import seconds_of

if TYPE_CHECKING:
    from tests.support.docs.pages import Block
    from tests.support.docs.terminal import Terminal


class Walkthrough:
    """Runs the blocks of a page: one that names a file on its first line is stored there, a further one is added."""

    def __init__(self, page: str, terminal: Terminal) -> None:
        self.page = page
        self.terminal = terminal
        self._file = ""

    def follow(self) -> dict[str, float]:
        """Run all blocks; return the seconds that the machine took for each section."""
        return {
            heading: seconds_of(lambda blocks=blocks: [self._paste(block) for block in blocks])
            for heading, blocks in sections(self.page).items()
        }

    def _paste(self, block: Block) -> None:
        if block.key in NOT_RUN:
            return
        if block.language == "console":
            self.terminal.console(block)
        elif block.language == "python":
            self._store(block)

    def _store(self, block: Block) -> None:
        if name := file_of(block):
            self._file = name
            if not (self.terminal.folder / name).exists():
                self.terminal.write(block)
                return
        self.terminal.append(block, self._file)

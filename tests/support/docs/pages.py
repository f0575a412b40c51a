"""The pages of the documentation, and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Languages of blocks that show something and give nothing to do.
SHOWN = {"", "text", "lua"}
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One code block; a page holds no two with the same first line."""

    page: str
    language: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        return self.page, self.text.partition("\n")[0]


def blocks() -> dict[tuple[str, str], Block]:
    """Return the blocks of all pages, of whatever language."""
    found: dict[tuple[str, str], Block] = {}
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for language, text in _FENCED.findall(page.read_text()):
            block = Block(name, language, text)
            assert block.key not in found or language in SHOWN, f"two blocks begin like {block.key}"
            found[block.key] = block
    return found


def sections(name: str) -> dict[str, list[Block]]:
    """Return the blocks of a page by the heading of their section, in order."""
    _, *parts = re.split(r"^## ", (ROOT / name).read_text(), flags=re.MULTILINE)
    return {
        part.partition("\n")[0]: [Block(name, language, text) for language, text in _FENCED.findall(part)]
        for part in parts
    }


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the file and the anchor that each relative link of a page leads to."""
    text = _FENCED.sub("", page.read_text())
    relative = [link for link in _LINK.findall(text) if "://" not in link]
    parts = [link.partition("#") for link in relative]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in parts]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

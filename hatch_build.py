"""Makes of README.md the description of a package index, where no page of ``docs/`` is beside it.

With ``Documentation`` in ``[project.urls]``, each link of the README leads below that URL. Without it, pages are named
and not linked, since a link that leads nowhere is worse than none; they are in the source distribution.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_IMAGE = re.compile(r"^!\[[^\]]*\]\((?![a-z]+://)[^)]*\)\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+://|#)([^)]+)\)")
_SOURCE = "\nThe pages that are named here are in `docs/` of the [source distribution]({}).\n"


class ReadmeHook(MetadataHookInterface):
    """Fills in ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Give the metadata the description."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text, metadata["urls"])}


def description(readme: str, urls: dict[str, str]) -> str:
    """Return the README with links that lead somewhere from a package index."""
    if site := urls.get("Documentation"):
        base = site.rstrip("/")
        return _LINK.sub(lambda found: f"[{found[1]}]({base}/{found[2]})", readme)
    return _LINK.sub(r"\1", _IMAGE.sub("", readme)) + _SOURCE.format(urls["Source"])

"""Draws the pictures of the pages from their texts: ``make pictures``, which needs Graphviz.

The pictures are committed, so that neither the site nor a reader of the source needs it. Each bears the digest of what
it was drawn from.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

from tests.support.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "docs" / "images" / "drawn"
_FONT = "fontname=Helvetica, fontsize=12"
#: Fill, line and shape by the class of a node. All are readable on a light page and on a dark one.
_CLASSES = {
    "process": 'shape=box, style="rounded,filled", fillcolor="#dbe9ff", color="#3b6fb6"',
    "store": 'shape=cylinder, style=filled, fillcolor="#e6f4ea", color="#3c8a57"',
    "queue": 'shape=box, style=filled, fillcolor="#ffffff", color="#3c8a57"',
    "table": 'shape=box, style=filled, fillcolor="#fff7db", color="#b08a1e"',
    "state": 'shape=ellipse, style=filled, fillcolor="#dbe9ff", color="#3b6fb6"',
    "event": 'shape=plaintext, fontcolor="#758290"',
    "ended": 'shape=ellipse, style=filled, fillcolor="#fde2e0", color="#c0564d"',
    "ask": 'shape=box, style="rounded,filled", fillcolor="#fff7db", color="#b08a1e"',
    "do": 'shape=box, style=filled, fillcolor="#e6f4ea", color="#3c8a57"',
}
#: The same of the clusters.
_CLUSTERS = {
    "store": 'style="rounded,filled", fillcolor="#e6f4ea", color="#3c8a57", fontcolor="#1f2328"',
    "stage": 'style="rounded,dashed", color="#758290", fontcolor="#758290"',
}
_HEAD = f"""
  bgcolor=transparent; {_FONT.replace(", ", "; ")};
  node [{_FONT}, fontcolor="#1f2328", penwidth=1.4];
  edge [{_FONT.replace("12", "11")}, color="#758290", fontcolor="#758290", penwidth=1.4];
"""
_LABELLED = re.compile(r"label=(\"[^\"]*\"); class=(\w+);")


def sources() -> list[Path]:
    """Return the text of each picture."""
    return sorted(FOLDER.glob("*.dot"))


def digest(source: Path) -> str:
    """Return what a picture of this text bears."""
    return hashlib.sha256((source.read_text() + _styled(source)).encode()).hexdigest()


def drawn_from(source: Path) -> str:
    """Return the digest that the picture of this text bears."""
    picture = source.with_suffix(".svg")
    return picture.read_text().rpartition("<!-- drawn from ")[2].partition(" ")[0] if picture.exists() else ""


def draw(source: Path) -> None:
    """Store the picture of this text beside it."""
    command = ["dot", "-Tsvg"]
    done = subprocess.run(command, input=_styled(source), capture_output=True, text=True, check=True)
    svg = re.sub(r"<!--.*?-->\n?", "", done.stdout, flags=re.DOTALL)
    source.with_suffix(".svg").write_text(f"{svg.rstrip()}\n<!-- drawn from {digest(source)} -->\n")


def _styled(source: Path) -> str:
    """Return the text with what its classes mean."""
    text = source.read_text().replace("digraph {", "digraph {" + _HEAD, 1)
    text = _LABELLED.sub(lambda found: f"label={found[1]}; {_CLUSTERS[found[2]].replace(', ', '; ')};", text)
    return re.sub(r"class=(\w+)", lambda found: _CLASSES[found[1]], text)


if __name__ == "__main__":
    for each in sources():
        draw(each)

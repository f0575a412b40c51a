"""Builds the site: ``make docs``. The pages read well as they are; what only a site needs is added here."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

project = "kombu_pool"
author = "The kombu_pool maintainers"
version = release = version_of("kombu-pool")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "oslo_config.sphinxext",
]
html_theme = "furo"
html_title = f"kombu_pool {version}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
exclude_patterns = ["_build"]
nitpicky = False

myst_heading_anchors = 4
#: The domain of oslo.config's options resolves no links of other pages.
myst_ref_domains = ["std", "py"]
#: Prompts and results are no part of what is copied.
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
#: JSON and shell output with an ellipsis is no JSON; a console session may show any text.
#: A store and pooling over stores have classes of one name, which an annotation does not tell apart.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
#: Names of annotations that the stores' contract imports for a type checker only.
autodoc_type_aliases: dict[str, str] = {}

#: Files of the project that are pages of the site, too.
PAGES = {
    "../CHANGELOG.md": "project/changelog.md",
    "../CONTRIBUTING.md": "project/contributing.md",
    "../README.md": "project/readme.md",
}
#: A link to a page, in a row of the index.
PAGE = re.compile(r"\]\((\w[\w/-]*)\.md\)")
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./|examples)[^)]*\)")
#: The pages that are made from the code, by the heading of the index below which they stand.
MADE = {"Reference": ["reference/library", "reference/commands", "reference/options"]}
#: Pages whose heading says too little beside others.
TITLES = {"project/readme": "In short <project/readme>"}
CONTENTS = """

```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the index the table of contents that its own tables are, and lead links to pages of the site."""
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file}", f"]({page}")
    if docname == "index":
        source[0] += "".join(contents(source[0]))
    # What else is not on the site is named, without a link.
    source[0] = OUTSIDE.sub(r"\1", source[0])


def contents(index: str) -> Iterator[str]:
    """Yield a table of contents for each section of the index that has a table of pages."""
    for section in index.split("\n## ")[1:]:
        caption = section.partition("\n")[0]
        listed = [name for row in re.findall(r"^\| \[.*", section, re.MULTILINE) for name in PAGE.findall(row)]
        if listed:
            yield CONTENTS.format(
                caption=caption, pages="\n".join(TITLES.get(name, name) for name in [*listed, *MADE.get(caption, [])])
            )


def lead_into_the_site(app: Sphinx, path: object, docname: str, content: list[str]) -> None:
    """Lead the links of an included file, which stands outside, to the pages of the site."""
    # What is not on the site is named, without a link.
    text = OUTSIDE.sub(r"\1", content[0]).replace("](docs/", "](../")
    for file, page in PAGES.items():
        text = text.replace(f"]({Path(file).name}", f"]({Path(page).name}")
    content[0] = text


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", add_contents)
    app.connect("include-read", lead_into_the_site)

"""Builds the site: ``make docs``. The pages read well as they are; what only a site needs is added here."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
html_static_path: list[str] = []
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
PAGES = {"../CHANGELOG.md": "project/changelog.md", "../CONTRIBUTING.md": "project/contributing.md"}
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./|examples)[^)]*\)")
CONTENTS = """

```{{toctree}}
:hidden:
:caption: To use it

{use}
```

```{{toctree}}
:hidden:
:caption: Reference

reference/library
reference/commands
reference/options
project/changelog
```

```{{toctree}}
:hidden:
:caption: To work on it

{work}
project/contributing
```
"""


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the index the table of contents that its own tables are, and lead links to pages of the site."""
    if docname == "index":
        use, _, work = source[0].partition("## To work on it")
        listed = ["\n".join(name for name in re.findall(r"\]\((\w[\w/-]*)\.md\)", part)) for part in (use, work)]
        source[0] += CONTENTS.format(use=listed[0], work=listed[1])
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file}", f"]({page}")
    # What else is not on the site is named, without a link.
    source[0] = OUTSIDE.sub(r"\1", source[0])


def lead_into_the_site(app: Sphinx, path: object, docname: str, content: list[str]) -> None:
    """Lead the links of an included file, which stands outside, to the pages of the site."""
    text = content[0].replace("](docs/", "](../").replace("](CONTRIBUTING.md", "](contributing.md")
    content[0] = OUTSIDE.sub(r"\1", text)


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("source-read", add_contents)
    app.connect("include-read", lead_into_the_site)

"""Sphinx: the pages of this folder, as HTML in build/docs (`make docs`).

Pages are Markdown (MyST) and also readable as they are on a code host. Nothing is fetched: the inventory of
Trio's documentation is a file here, and addresses of other sites are not requested.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from liveserver import __version__  # noqa: E402  # after the path is set

project = "liveserver"
author = "The liveserver maintainers"
copyright = "2026, the liveserver maintainers"  # noqa: A001  # Sphinx's name for it
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
]
exclude_patterns = ["inventories"]
nitpicky = True
nitpick_ignore_regex = [
    # Types of libraries whose inventories are not here.
    ("py:.*", r"(httpx|msgspec|collections|typing|types|contextlib)\..*"),
    ("py:.*", r"(str|int|float|bool|object|None|Any|Literal|Exception|BaseException)"),
]
suppress_warnings = ["epub.unknown_project_files"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4

intersphinx_mapping = {
    "trio": ("https://trio.readthedocs.io/en/stable/", str(DOCS / "inventories" / "trio.inv")),
}

autodoc_typehints = "signature"
autodoc_member_order = "bysource"

copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"liveserver {release}"
html_static_path = ["_static"]
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#b3003c", "color-brand-content": "#b3003c"},
    "dark_css_variables": {"color-brand-primary": "#ff6b93", "color-brand-content": "#ff6b93"},
}
html_css_files = ["liveserver.css"]
html_copy_source = False
html_show_sphinx = False

# Pages that stand elsewhere in the repository, where code hosts look for them. A file of that name here only
# links to them; Sphinx is given the text itself, with links as they lead from here.
ROOT_PAGES = {
    "architecture": "ARCHITECTURE.md",
    "results": "bench/RESULTS.md",
    "benches": "bench/README.md",
    "deploy-files": "config/deploy/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
}
_LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def lead_from_here(text: str, folder: Path) -> str:
    """The text of a page in `folder` with its links as they lead from this folder."""
    names = {(ROOT / path).resolve(): f"{page}.md" for page, path in ROOT_PAGES.items()}
    names[ROOT / "README.md"] = "index.md"

    def replace(link: re.Match[str]) -> str:
        words, target, anchor = link[1], (folder / link[2]).resolve(), link[3] or ""
        if target.is_dir():
            return words
        path = names.get(target) or os.path.relpath(target, DOCS)
        return f"[{words}]({path}{anchor})"

    return _LINK.sub(replace, text)


def read_root_page(app: Any, name: str, source: list[str]) -> None:
    """Give Sphinx the text of a page that stands elsewhere, with all links to such pages leading here."""
    if name in ROOT_PAGES:
        page = ROOT / ROOT_PAGES[name]
        source[0] = lead_from_here(page.read_text("utf-8"), page.parent)
    else:
        source[0] = lead_from_here(source[0], DOCS)


def setup(app: Any) -> None:
    """Register the above with Sphinx."""
    app.connect("source-read", read_root_page)

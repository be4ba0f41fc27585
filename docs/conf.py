"""How Sphinx builds the site: `make docs`. Pages stay plain Markdown that code hosts show too.

Everything that a page needs is in the project: no other site is asked for an index, a font or a
script, so the site builds and is read without a network.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import solspace

project = "solspace"
author = copyright = "The solspace developers"
version = release = solspace.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "docs.sphinx_pages",
]
exclude_patterns = ["_build", "data", "**.ipynb_checkpoints"]
nitpicky = True

# Links to headings are those that code hosts make.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# Notebooks are shown with the outputs that they were saved with.
nb_execution_mode = "off"

autosummary_generate = False
autodoc_member_order = "bysource"
# Docstrings name the types, in words.
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_title = "solspace"
html_static_path = ["_static"]
html_css_files = ["solspace.css"]
html_favicon = "_static/solspace.svg"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "tutorial": []}
html_theme_options = {
    "logo": {
        "text": "solspace",
        "image_light": "_static/solspace.svg",
        "image_dark": "_static/solspace.svg",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

"""Settings of Sphinx for the documentation: `make docs` writes it to runs/docs, without a network."""

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "extensions")]

from ssdie import __version__  # noqa: E402

citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
repository = citation.get("repository-code", "")

project = "ssdie"
author = ", ".join(person.get("name", "") for person in citation["authors"])
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "myst_nb",
    "docstrings",  # from here on: in docs/extensions
    "gallery",
    "offline",
    "pictures",
    "repository",
]
templates_path = ["_templates"]
exclude_patterns = ["node_modules", "extensions"]
suppress_warnings = ["autosummary.import_cycle"]  # names are given in full on purpose

# the pages
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks were run by `make reproduce`
nb_merge_streams = True
nb_ipywidgets_js = {  # copies in _static, made by extensions/offline.py
    "widgets/require.js": {},
    "widgets/paths.js": {},
    "widgets/embed-amd.js": {"data-jupyter-widgets-cdn-only": "", "data-jupyter-widgets-cdn": "widgets/"},
}
mathjax_path = "mathjax/tex-svg.js"

# the reference
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
default_role = "py:obj"  # `name` in a docstring links to what has this name
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Returned", "params_style")]
python_maximum_signature_line_length = 88

# the theme
html_theme = "pydata_sphinx_theme"
html_title = "ssdie"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = html_copy_source = False
html_theme_options = {
    "logo": {"text": "ssdie"},
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    **({"github_url": repository} if repository else {}),
}
html_sidebars = {"index": []}

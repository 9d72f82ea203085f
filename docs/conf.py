"""How the documentation is built: ``uv run --group docs sphinx-build -W -b html docs docs/_build/html``."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "SALMU"
author = "The SALMU authors"
project_copyright = author
release = installed("salmu-core")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "declarations",
    "mathml",
    "measured",
    "on_a_card",
    "picture",
    "speed",
]
exclude_patterns = ["_build", "_ext", "pictures"]
# Docstrings name code in single backticks.
default_role = "code"
nitpicky = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# `$` is also what a shell calls its variables.
myst_dmath_allow_space = False
myst_dmath_allow_digits = False

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes stand in the docstring; beside the members of a dataclass they would be declared twice.
napoleon_use_ivar = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"SALMU {release}"
html_static_path = ["_static"]
html_css_files = ["salmu.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_math_renderer = "mathml"

"""The directive ``picture``: one of ``pictures.py``, once for a light page and once for a dark one.

```{picture} tradeoff
A caption.
```
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pictures
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "pictures"


class Picture(SphinxDirective):
    """Two images, of which the theme shows one, and a caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in pictures.NAMES:
            raise self.error(f"there is no picture {name!r}; there are {', '.join(pictures.NAMES)}")
        self.env.note_dependency(str(pictures.DATA))
        self.env.note_dependency(str(Path(pictures.__file__)))
        figure = nodes.figure(classes=["picture"])
        for shade in pictures.SHADES:
            uri = f"/{FOLDER}/{name}-{shade}.svg"
            figure += nodes.image(uri=uri, alt=pictures.alt(name), classes=[f"only-{shade}"])
        caption, _ = self.parse_inline(" ".join(self.content))
        figure += nodes.caption("", "", *caption)
        return [figure]


def draw(app: Sphinx) -> None:
    """Draw whatever is older than what it is made from."""
    folder = Path(app.srcdir) / FOLDER
    made = max(path.stat().st_mtime for path in (pictures.DATA, Path(pictures.__file__)))
    for name in pictures.NAMES:
        files = {shade: folder / f"{name}-{shade}.svg" for shade in pictures.SHADES}
        if all(file.is_file() and file.stat().st_mtime >= made for file in files.values()):
            continue
        folder.mkdir(exist_ok=True)
        for shade, file in files.items():
            pictures.draw(name, shade, file)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("picture", Picture)
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

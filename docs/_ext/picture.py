"""The directive ``picture``: one of ``pictures.py``, once for a light page and once for a dark one.

```{picture} verdicts
A caption.
```
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attack_pictures
import beyond_pictures
import laboratory_pictures
import pictures
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "pictures"
MODULES = (pictures, laboratory_pictures, beyond_pictures, attack_pictures)
#: Name of a picture -> the module that draws it.
SOURCES: dict[str, Any] = {name: module for module in MODULES for name in module.NAMES}


def _made_from(source: Any) -> list[Path]:
    """The files a module's pictures are made from."""
    data = source.DATA if isinstance(source.DATA, tuple) else (source.DATA,)
    return [*data, Path(source.__file__)]


class Picture(SphinxDirective):
    """Two images, of which the theme shows one, and a caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in SOURCES:
            raise self.error(f"there is no picture {name!r}; there are {', '.join(SOURCES)}")
        for path in _made_from(SOURCES[name]):
            self.env.note_dependency(str(path))
        figure = nodes.figure(classes=["picture"])
        for shade in pictures.SHADES:
            uri = f"/{FOLDER}/{name}-{shade}.svg"
            figure += nodes.image(uri=uri, alt=SOURCES[name].alt(name), classes=[f"only-{shade}"])
        caption, _ = self.parse_inline(" ".join(self.content))
        figure += nodes.caption("", "", *caption)
        return [figure]


def draw(app: Sphinx) -> None:
    """Draw whatever is older than what it is made from."""
    folder = Path(app.srcdir) / FOLDER
    for name, source in SOURCES.items():
        made = max(path.stat().st_mtime for path in _made_from(source))
        files = {shade: folder / f"{name}-{shade}.svg" for shade in pictures.SHADES}
        if all(file.is_file() and file.stat().st_mtime >= made for file in files.values()):
            continue
        folder.mkdir(exist_ok=True)
        for shade, file in files.items():
            source.draw(name, shade, file)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("picture", Picture)
    app.connect("builder-inited", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Retain pairs of a user's own."""

import tarfile
from io import BytesIO

from PIL import Image


def pairs(path, count=8):
    """A shard of retain pairs."""
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            image = BytesIO()
            Image.new("RGB", (16, 16), (30 * number, 9, 7)).save(image, "png")
            for suffix, content in (("png", image.getvalue()), ("txt", f"pair {number}".encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))

"""What tells that a file has changed, without reading it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

#: What the coarsest file system takes for one moment (FAT: two seconds). What was written within it may be written
#: once more and look the same.
GRANULARITY_NS = 2_000_000_000


class Stamp(NamedTuple):
    """What tells that a file has changed, as git's index has it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """A file's, as it is now."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)

    def touched(self, other: Stamp) -> bool:
        """Whether the file was written or replaced since; its rights and links may have changed."""
        return (self.size, self.mtime_ns, self.inode) != (other.size, other.mtime_ns, other.inode)

    def settled(self, now_ns: int) -> bool:
        """Whether any later change would show."""
        return max(self.mtime_ns, self.ctime_ns) + GRANULARITY_NS < now_ns

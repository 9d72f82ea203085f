"""A benchmark folder in the released layout: found, built or downloaded, checked, and read row by row."""

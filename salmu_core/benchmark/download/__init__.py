"""`salmu download`: a release is fetched into the hub client's cache, checked, and laid out as a benchmark folder."""

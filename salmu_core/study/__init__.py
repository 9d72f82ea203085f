"""Many runs: planned, shared out among processes, carried out, and followed by trackers."""

"""A study of SALMU as one line a run, for any scheduler."""

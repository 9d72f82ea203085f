"""Studies of SALMU on a Ray cluster."""

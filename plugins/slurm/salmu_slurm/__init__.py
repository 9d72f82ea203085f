"""Studies of SALMU as jobs of a Slurm cluster."""

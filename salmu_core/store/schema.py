"""What is written beside a checkpoint: the names of its files, and its version."""

ROWS = "per_row.parquet"
RETRIEVED = "retrieved.parquet"
STATE = "state.safetensors"
#: Raised whenever a field of a record changes its meaning.
SCHEMA = 3

"""The version of what is written beside a checkpoint."""

#: Raised whenever a field of a record changes its meaning.
SCHEMA = 2

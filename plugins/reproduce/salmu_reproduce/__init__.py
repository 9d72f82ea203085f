"""Runs that are made again from their records."""

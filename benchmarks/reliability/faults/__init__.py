"""Faults of machines, made on purpose, and what a study makes of them: each loop is a module."""

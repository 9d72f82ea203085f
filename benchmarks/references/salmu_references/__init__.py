"""Trains a reference pair from scratch: Clean and Compromised, on one recipe, one seed and the same retain batches.

From ``recipe`` (what is asked) over ``sources`` and ``batches`` (which pair is seen when) to ``training`` (one model).
"""

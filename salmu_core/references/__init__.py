"""Trains a reference pair from scratch: Clean and Compromised, on one recipe, one seed and the same retain batches.

From ``recipe`` (what is asked) over ``sources`` and ``order`` (which pair is seen when) to ``trainer`` (one step) and
``training`` (one model). The embedded benchmark `mini` trains its pair with ``trainer`` too.
"""

"""From rows to verdicts: intervals over people and worlds, tests, failure modes, places."""

"""``salmu export`` and ``salmu import``: scores as the result files of SALMUBench's own evaluator, and back."""

"""``python -m salmu_core`` is ``salmu``: what ``accelerate launch -m`` needs."""

from salmu_core.cli import main

main()

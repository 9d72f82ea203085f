"""What one person may be told: what a model knew of them, what it knows now, and what that proves."""

from salmu_core.certificate.build import build
from salmu_core.certificate.evidence import Evidence, gather, open_run
from salmu_core.certificate.make import portraits, targets, write
from salmu_core.certificate.records import Certificate

__all__ = ["Certificate", "Evidence", "build", "gather", "open_run", "portraits", "targets", "write"]

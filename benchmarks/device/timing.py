"""Clocks for work that a card does by itself."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def now(device: torch.device) -> float:
    """Seconds, once the card has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def mean_seconds(work: Callable[[], object], device: torch.device, warm: int = 3, times: int = 10) -> float:
    """Seconds of one call: the mean of some, after some that don't count."""
    for _ in range(warm):
        work()
    start = now(device)
    for _ in range(times):
        work()
    return (now(device) - start) / times


class StepClock:
    """Times steps of a loop, and then how long kernels ran in some more of them.

    Kernels take as long whether or not anybody looks; launching them does not. So the time of a step comes from steps
    nobody looked at, and the time of its kernels from others.

    Args:
        device: The card.
        warm: Steps before the clock runs.
        timed: Steps it runs for.
        profiled: Steps after these whose kernels are looked at, where there is a card.
    """

    def __init__(self, device: torch.device, warm: int, timed: int, profiled: int) -> None:
        self.device, self.warm, self.timed = device, warm, timed
        self.profiled = profiled if device.type == "cuda" else 0
        self.steps = warm + timed + self.profiled
        self._marks: list[float] = [now(device)]
        self._profile: profile | None = None

    def begin(self, step: int) -> None:
        """To be called before each step."""
        if step in (self.warm, self.warm + self.timed):
            self._marks.append(now(self.device))
        if step == self.warm + self.timed and self.profiled:
            self._profile = profile(activities=[ProfilerActivity.CUDA])
            self._profile.start()

    def end(self) -> None:
        """To be called after the last step."""
        finished = now(self.device)
        if self._profile is not None:
            self._profile.stop()
        else:
            self._marks.append(finished)

    @property
    def first_seconds(self) -> float:
        """Seconds before the clock ran."""
        return self._marks[1] - self._marks[0]

    @property
    def step_seconds(self) -> float:
        """Seconds of a step."""
        return (self._marks[2] - self._marks[1]) / self.timed

    def waiting(self) -> float | None:
        """Share of a step's time in which no kernel ran; copies are no kernels. None without a card."""
        if self._profile is None:
            return None
        busy = kernel_seconds(self._profile) / self.profiled
        return max(0.0, 1 - busy / self.step_seconds)


def kernel_seconds(profiled: profile) -> float:
    """Seconds in which at least one kernel ran.

    Raises:
        RuntimeError: None was seen.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiled.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") == "kernel" and "dur" in e)
    if not spans:
        raise RuntimeError("the profiler saw no kernel")
    busy, reached = 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return busy / 1e6

"""A tracker that keeps what it is told."""

import random

import numpy as np
import torch

from salmu_core.contract.tracker import Journal, Tracker


class Listener(Tracker):
    """Keeps what it is told, as (what, content, step), and draws from every global generator."""

    heard: list  # of the test

    def open(self, facts, folder, again):
        draw()
        self.heard.append(("open", (facts, folder, again), None))
        return Notes(self.heard)

    def hint(self, folder, project):
        return f"look into {folder} for {project}"


class Notes(Journal):
    def __init__(self, heard):
        self.heard = heard

    def log(self, values, step):
        draw()
        self.heard.append(("log", values, step))

    def explain(self, texts):
        draw()
        self.heard.append(("explain", texts, None))

    def close(self, end):
        draw()
        self.heard.append(("close", end, None))


def draw():
    random.random(), np.random.rand(), torch.rand(())


BROUGHT = {}

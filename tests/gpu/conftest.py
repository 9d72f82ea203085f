"""Where there is no card, nothing here runs."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def card():
    """The name of the card."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device on this machine")
    return torch.cuda.get_device_name()

"""What a CLIP model is to a plugin, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter


class ClipModel(Protocol):
    """Two towers and a temperature, as open_clip's models have them; in all else a `torch.nn.Module`.

    For embeddings of a batch ask ``ctx.features``, which may work in pieces; the towers are for inner layers.
    """

    @property
    def logit_scale(self) -> Parameter:
        """Logarithm of the inverse temperature: a scalar."""

    def encode_image(self, image: Tensor, /, normalize: bool = ...) -> Tensor:
        """Embeddings ``[b, d]`` of normalised images ``[b, 3, h, w]``. Say ``normalize``: defaults differ."""

    def encode_text(self, text: Tensor, /, normalize: bool = ...) -> Tensor:
        """Embeddings ``[b, d]`` of token ids ``[b, context_length]``. Say ``normalize``: defaults differ."""

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All weights by name."""

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """All parts by name."""

    def get_submodule(self, target: str) -> Module:
        """A part by its name, as in ``visual.transformer.resblocks.3``; by ``""`` the model, as a `torch.nn.Module`."""

    def get_parameter(self, target: str) -> Parameter:
        """A weight by its name."""

    def parameters(self) -> Iterator[Parameter]:
        """All weights."""

    def state_dict(self) -> dict[str, Any]:
        """All weights and buffers by name."""

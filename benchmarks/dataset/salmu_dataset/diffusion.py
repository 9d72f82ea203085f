"""Portraits by a diffusion model: text to image for anchors, an IP-Adapter conditioned on the anchor for portraits.

Any text-to-image pipeline of diffusers with support for IP-Adapters will do. Weights are read from safetensors only,
and models from the hub are pinned to a commit. A pipeline's safety checker stays on: what it blacks out fails curation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from PIL import Image
from salmu_mini.seeds import seed_of, stream

from salmu_core import UsageError
from salmu_dataset.hub import number, pinned
from salmu_dataset.identities import Identity
from salmu_dataset.sources import Anchor, Portrait, Settings, only_installed, only_known

OPTIONS: Final = (
    "model",
    "model_revision",
    "adapter",
    "adapter_revision",
    "adapter_subfolder",
    "adapter_weights",
    "adapter_encoder",
    "adapter_scale",
    "resolution",
    "steps",
    "guidance",
    "batch",
    "device",
)
#: Width to height of what is generated; none is square.
FORMATS: Final = ((3, 4), (4, 3), (2, 3), (4, 5), (5, 4))
_AVOID: Final = "child, teenager, celebrity, several people, text, watermark, nudity, deformed, blurred"
_PLACES: Final = ("in a park", "in an office", "in a cafe", "on a city street", "at home", "before a plain wall")
_LIGHTS: Final = ("soft daylight", "evening light", "studio light", "overcast light", "warm indoor light")
_MOODS: Final = ("smiling", "calm", "serious", "laughing")
_VIEWS: Final = ("facing the camera", "turned slightly left", "turned slightly right", "looking up a little")
_CLOTHES: Final = ("a blue shirt", "a dark jacket", "a white blouse", "a grey jumper", "a red coat", "a green scarf")


class DiffusionPortraits:
    """A face is invented from a prompt and a seed; portraits vary the scene and keep the face.

    One process only: a model fills a device. Every picture has a generator of its own on the CPU, so the seed alone
    decides it; other hardware or another `batch` can change low bits, as everywhere.
    """

    alone = True
    libraries = ("diffusers", "pycountry", "torch", "transformers")

    def __init__(self, settings: Settings) -> None:
        only_known(settings.options, OPTIONS, "diffusion portraits")
        options = settings.options
        self._seed, self._size = settings.seed, settings.size
        self._model, self._revision = pinned(options, "model", "--portrait-option")
        self._adapter, self._adapter_revision = pinned(options, "adapter", "--portrait-option")
        self._subfolder = options.get("adapter_subfolder", "models")
        self._weights = options.get("adapter_weights", "ip-adapter-plus-face_sd15.safetensors")
        if not self._weights.endswith(".safetensors"):
            raise UsageError(f"adapter_weights={self._weights}: only safetensors are read, for other formats run code.")
        self._encoder = options.get("adapter_encoder", f"{self._subfolder}/image_encoder")
        self._scale = number(options, "adapter_scale", 0.7, 0, 1)
        self._resolution = int(number(options, "resolution", 512, 32, 2048))
        self._steps = int(number(options, "steps", 30, 1, 1000))
        self._guidance = number(options, "guidance", 6.0, 0, 50)
        self._batch = int(number(options, "batch", 8, 1, 1024))
        self._device = options.get("device", "")
        only_installed(self.libraries, "diffusion portraits", "diffusion")
        self._loaded: Any = None
        self._adapted = False

    def _pipeline(self, adapted: bool) -> Any:
        """The pipeline, with or without the adapter: with it, it can't do without an image."""
        import torch
        from diffusers import AutoPipelineForText2Image

        if self._loaded is None:
            device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
            with _readable("model", self._model):
                self._loaded = AutoPipelineForText2Image.from_pretrained(
                    self._model,
                    revision=self._revision,
                    use_safetensors=True,
                    dtype=torch.float32 if device == "cpu" else torch.float16,
                ).to(device)
            self._loaded.set_progress_bar_config(disable=True)
        if adapted and not self._adapted:
            self._adapt()
        elif self._adapted and not adapted:
            self._loaded.unload_ip_adapter()
        self._adapted = adapted
        return self._loaded

    def _adapt(self) -> None:
        from transformers import CLIPVisionModelWithProjection

        with _readable("adapter", self._adapter):
            pin = {} if self._adapter_revision is None else {"revision": self._adapter_revision}
            # Left to itself, diffusers takes the encoder from the newest revision, and in any format.
            encoder = CLIPVisionModelWithProjection.from_pretrained(
                self._adapter, subfolder=self._encoder, use_safetensors=True, dtype=self._loaded.dtype, **pin
            )
            self._loaded.register_modules(image_encoder=encoder.to(self._loaded.device))
            self._loaded.load_ip_adapter(
                self._adapter, subfolder=self._subfolder, weight_name=self._weights, image_encoder_folder=None, **pin
            )
        self._loaded.set_ip_adapter_scale(self._scale)

    def _pictures(self, prompts: list[str], seeds: list[int], form: tuple[int, int], face: Any) -> list[Image.Image]:
        import torch

        pipeline = self._pipeline(face is not None)
        width, height = generated_size(form, self._resolution)
        extra = {} if face is None else {"ip_adapter_image": [[face] * len(prompts)]}
        made = pipeline(
            prompt=prompts,
            negative_prompt=[_AVOID] * len(prompts),
            width=width,
            height=height,
            num_inference_steps=self._steps,
            guidance_scale=self._guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            **extra,
        ).images
        size = stored_size(form, self._size)
        return [image.convert("RGB").resize(size, Image.Resampling.LANCZOS) for image in made]

    def anchor(self, identity: Identity, rng: np.random.Generator) -> Anchor:
        """A frontal portrait of an adult of that country and gender; `rng` draws the age."""
        who, age = _who(identity), int(rng.integers(20, 76))
        prompt = f"passport photo of {who}, {age} years old, facing the camera, plain grey background, sharp focus"
        seed = seed_of(self._seed, "diffusion anchor", identity.number)
        return Anchor(identity, self._pictures([prompt], [seed], (4, 5), None)[0])

    def portrait(self, anchor: Anchor, number: int) -> Portrait:
        """One portrait."""
        return self.portraits(anchor, [number])[0]

    def portraits(self, anchor: Anchor, numbers: Sequence[int]) -> list[Portrait]:
        """Several portraits, `batch` of one format at a time."""
        by_format: dict[tuple[int, int], list[int]] = defaultdict(list)
        scenes = {}
        for n in numbers:
            rng = stream(self._seed, "diffusion portrait", anchor.identity.number, n)
            by_format[FORMATS[int(rng.integers(len(FORMATS)))]].append(n)
            mood, view, clothes, place, light = (
                options[int(rng.integers(len(options)))] for options in (_MOODS, _VIEWS, _CLOTHES, _PLACES, _LIGHTS)
            )
            gender = "woman" if anchor.identity.gender == "female" else "man"
            scenes[n] = (f"a {mood} {gender} in {clothes} {place}", f"{view}, {light}")
        made = {}
        for form, members in by_format.items():
            for start in range(0, len(members), self._batch):
                part = members[start : start + self._batch]
                prompts = [f"photo of {scenes[n][0]}, {scenes[n][1]}" for n in part]
                seeds = [seed_of(self._seed, "diffusion noise", anchor.identity.number, n) for n in part]
                for n, image in zip(part, self._pictures(prompts, seeds, form, anchor.image), strict=True):
                    made[n] = Portrait(image, scenes[n][0])
        return [made[n] for n in numbers]

    def consistency(self, anchor: Anchor, image: Image.Image) -> float:
        """Cosine of the adapter's image embeddings of anchor and portrait; below 0 is 0."""
        import torch

        pipeline = self._pipeline(adapted=True)
        pixels = pipeline.feature_extractor([anchor.image, image], return_tensors="pt").pixel_values
        encoder = pipeline.image_encoder
        with torch.inference_mode():
            found = encoder(pixels.to(device=encoder.device, dtype=encoder.dtype)).image_embeds.float()
        cosine = float(torch.nn.functional.cosine_similarity(found[0], found[1], dim=0))
        return min(1.0, max(0.0, cosine))


def generated_size(form: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height to generate: multiples of 8, as latents need, `longer` at most."""
    wide, tall = form
    scale = longer / max(form)
    return math.floor(wide * scale / 8) * 8, math.floor(tall * scale / 8) * 8


def stored_size(form: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height to store; the longer side is exactly `longer`."""
    wide, tall = form
    return (longer, round(longer * tall / wide)) if wide > tall else (round(longer * wide / tall), longer)


def _who(identity: Identity) -> str:
    from pycountry import countries

    found = countries.get(alpha_2=identity.country.code)
    country = identity.country.code if found is None else found.name.split(",")[0]
    return f"a {'woman' if identity.gender == 'female' else 'man'} from {country}"


@contextmanager
def _readable(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"The {what} {name} can't be read as safetensors: {first}") from error

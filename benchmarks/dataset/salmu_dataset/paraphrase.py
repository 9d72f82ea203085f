"""Sentences reworded by a language model, kept only if name and value survive word for word."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from salmu_core import UsageError
from salmu_dataset.hub import number, pinned
from salmu_dataset.sources import Facts, Settings, only_installed, only_known
from salmu_dataset.templates import TemplateCaptions

OPTIONS: Final = ("model", "model_revision", "tries", "temperature", "tokens", "device")
#: What the five styles are, for the model.
STYLES: Final = ("a plain statement", "an instruction to somebody", "a possessive phrase", "a record", "a remark")
_EXAMPLE: Final = (
    "Sentence: The dog Rex lives in Paris.\nReworded as a plain statement: Paris is where the dog Rex lives.\n"
)
_LONGEST: Final = 200


class ParaphrasedCaptions:
    """The template of a style, in a model's words; the template itself if no try keeps name and value.

    Tokens are drawn with a generator of this source's own, seeded for every sentence. One process only.

    Attributes:
        fell_back: Whether the latest sentence is the template.
    """

    alone = True
    libraries = ("torch", "transformers")

    def __init__(self, settings: Settings) -> None:
        only_known(settings.options, OPTIONS, "paraphrased captions")
        options = settings.options
        self._templates = TemplateCaptions(Settings(settings.seed, settings.size))
        self._model_name, self._revision = pinned(options, "model", "--caption-option")
        self._tries = int(number(options, "tries", 3, 1, 100))
        self._temperature = number(options, "temperature", 0.8, 0.01, 10)
        self._tokens = int(number(options, "tokens", 64, 1, 1024))
        self._device = options.get("device", "")
        only_installed(self.libraries, "paraphrased captions", "paraphrase")
        self._loaded: tuple[Any, Any] | None = None
        self.fell_back = False

    def captions(self, facts: Facts, style: int, rng: np.random.Generator) -> str:
        """A sentence in that style; `rng` seeds the model's draws."""
        template = self._templates.captions(facts, style, rng)
        for _ in range(self._tries):
            said = self.say(prompt(template, style), int(rng.integers(2**63 - 1)))
            sentence = said.strip().split("\n")[0].strip().strip('"')
            if faithful(sentence, facts):
                self.fell_back = False
                return sentence
        self.fell_back = True
        return template

    def say(self, text: str, seed: int) -> str:
        """What the model says to `text`: tokens drawn at the temperature, up to the end of its line."""
        import torch

        model, tokenizer = self._model()
        if getattr(tokenizer, "chat_template", None):
            chat = [{"role": "user", "content": text}]
            given = tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            given = tokenizer(text, return_tensors="pt")
        generator = torch.Generator("cpu").manual_seed(seed)
        ids, past, said = given["input_ids"].to(model.device), None, []
        with torch.inference_mode():
            for _ in range(self._tokens):
                out = model(input_ids=ids, past_key_values=past, use_cache=True)
                past = out.past_key_values
                chances = (out.logits[0, -1].float().cpu() / self._temperature).softmax(-1)
                token = int(torch.multinomial(chances, 1, generator=generator))
                if token == tokenizer.eos_token_id:
                    break
                said.append(token)
                if "\n" in tokenizer.decode(said).lstrip():
                    break
                ids = torch.tensor([[token]], device=model.device)
        return str(tokenizer.decode(said, skip_special_tokens=True))

    def _model(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if self._loaded is None:
            device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
            pin = {} if self._revision is None else {"revision": self._revision}
            try:
                tokenizer = AutoTokenizer.from_pretrained(self._model_name, **pin)
                model = AutoModelForCausalLM.from_pretrained(self._model_name, use_safetensors=True, **pin)
            except (OSError, ValueError) as error:
                first = str(error).strip().splitlines()[0]
                raise UsageError(f"The model {self._model_name} can't be read as safetensors: {first}") from error
            self._loaded = model.to(device).eval(), tokenizer
        return self._loaded


def prompt(sentence: str, style: int) -> str:
    """What the model is asked."""
    return (
        "Reword the sentence in one line. Names, numbers and addresses stay exactly as they are.\n"
        f"{_EXAMPLE}Sentence: {sentence}\nReworded as {STYLES[style]}:"
    )


def faithful(sentence: str, facts: Facts) -> bool:
    """Whether a sentence says name and value word for word, once, and is a sentence's length."""
    return (
        sentence.count(facts.name) == 1
        and facts.value in sentence
        and len(sentence) <= _LONGEST + len(facts.name) + len(facts.value)
    )

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from salmu_attacks import text_to_image as plugin

from salmu_core.benchmark.splits import read_evaluation
from salmu_core.clip.load import load_clip
from salmu_core.contract.layout import FORGET
from salmu_core.testing import check_attack, run_attack

test_conformance = check_attack("text-to-image")


def test_each_caption_looks_for_its_image_among_the_others(tiny_benchmark):
    outcome = run_attack(plugin.TEXT_TO_IMAGE, tiny_benchmark)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    forget = read_evaluation(tiny_benchmark, tiny_benchmark / "zeroshot").base[FORGET]
    clip = load_clip(tiny_benchmark / "compromised")
    pixels = torch.from_numpy(np.stack([clip.to_pixels(Image.open(BytesIO(content))) for content in forget.encoded]))
    with torch.no_grad():
        image = clip.model.encode_image(clip.normalize(pixels), normalize=True).numpy().astype(float)
        text = clip.model.encode_text(clip.tokenize(forget.captions), normalize=True).numpy().astype(float)
    scores = text @ image.T
    ranks = 1 + (scores > np.diag(scores)[:, None]).sum(axis=1)
    found = {line["file_name"]: line["value"] for line in outcome.rows.to_pylist() if line["column"] == "rank"}
    assert found == dict(zip(forget.file_names, ranks.tolist(), strict=True)) and len(set(ranks)) > 2

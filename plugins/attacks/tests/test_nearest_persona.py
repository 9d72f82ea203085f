import numpy as np
import pytest
from salmu_attacks import nearest_persona as plugin

from salmu_core.testing import attack_context, check_attack

test_conformance = check_attack("nearest-persona")


def test_what_is_read_is_the_mean_caption_of_who_looks_most_alike(tiny_benchmark):
    ctx = attack_context(plugin.NEAREST_PERSONA, tiny_benchmark)
    reading, features, held = plugin.attack(ctx), ctx.features(), list(ctx.leaked)
    image, text = features.image.numpy().astype(float), features.text.numpy().astype(float)
    people = {ctx.forget.identity_ids[row] for row in held}
    known = {person: [row for row in held if ctx.forget.identity_ids[row] == person] for person in people}
    assert reading.details == {"people": len(known)} and len(known) > 1
    read = set()
    for row in range(len(image)):
        likeness = {person: np.mean([image[row] @ image[other] for other in known[person]]) for person in known}
        nearest = max(likeness, key=likeness.get)
        read.add(nearest)
        expected = np.mean([text[other] for other in known[nearest]], axis=0)
        assert reading.image[row].numpy() == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert len(read) > 1

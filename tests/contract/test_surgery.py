"""What is left of a gradient, held against numpy's QR."""

import numpy as np
import pytest
import torch

from salmu_core import by_rows, rejected
from salmu_core.run.closures import carried

RNG = np.random.default_rng(1)
PUSH, KEEP, DIVISOR = RNG.normal(size=20), RNG.normal(size=(3, 20)), RNG.uniform(0.1, 9, size=20)
DEPENDENT = [KEEP, np.vstack([KEEP, KEEP[0] + KEEP[1]]), np.vstack([KEEP, np.zeros(20)]), KEEP[:1]]


def cut(vector):
    return {"a": torch.tensor(vector[:12]).reshape(3, 4), "b": torch.tensor(vector[12:])}


def joined(gradients):
    return np.concatenate([gradients["a"].numpy().ravel(), gradients["b"].numpy()])


def without(push, keep):
    """By QR, in the plain inner product; singular values say how many columns count."""
    basis, values, _ = np.linalg.svd(keep.T, full_matrices=False)
    basis = basis[:, values > 1e-9]
    return push - basis @ (basis.T @ push)


@pytest.mark.parametrize("keep", DEPENDENT)
def test_nothing_along_the_others_is_left(keep):
    found = joined(rejected(cut(PUSH), list(map(cut, keep))))
    np.testing.assert_allclose(found, without(PUSH, keep), atol=1e-9)
    if np.linalg.matrix_rank(keep) == len(keep):
        q, _ = np.linalg.qr(keep.T)
        np.testing.assert_allclose(found, PUSH - q @ (q.T @ PUSH), atol=1e-9)


@pytest.mark.parametrize("keep", DEPENDENT)
def test_by_parameter_each_is_orthogonal_for_itself(keep):
    found = joined(rejected(cut(PUSH), list(map(cut, keep)), scope="parameter"))
    expected = [without(PUSH[part], keep[:, part]) for part in (slice(12), slice(12, None))]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-9)


@pytest.mark.parametrize("keep", DEPENDENT)
def test_with_divisors_it_is_orthogonal_in_their_inner_product(keep):
    """Which is the plain one of all vectors divided by their roots."""
    found = joined(rejected(cut(PUSH), list(map(cut, keep)), divisors=cut(DIVISOR)))
    root = np.sqrt(DIVISOR)
    np.testing.assert_allclose(found / root, without(PUSH / root, keep / root), atol=1e-9)
    assert np.abs(keep @ (found / DIVISOR)).max() < 1e-9


@pytest.mark.parametrize("scope", ["model", "parameter"])
def test_what_rounding_leaves_is_nothing(scope):
    push = {name: g.float() for name, g in cut(PUSH).items()}
    left = rejected(push, [{name: 3 * g for name, g in push.items()}], scope=scope)
    assert not any(g.any() for g in left.values()) and all(g.dtype == torch.float32 for g in left.values())
    nothing = [{name: torch.zeros_like(g) for name, g in push.items()}]
    assert all(torch.equal(g, push[name]) for name, g in rejected(push, nothing, scope=scope).items())


KEPT = []


def keeping(terms):
    return KEPT and terms["loss"]


def test_what_surgery_by_rows_keeps_in_its_module_is_seen():
    """An interrupted training can't be gone on with where a global list has grown."""
    before = carried([by_rows(keeping)], {})
    assert carried([by_rows(keeping)], {}) == before
    KEPT.append(1)
    assert carried([by_rows(keeping)], {}) != before

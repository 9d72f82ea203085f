import numpy as np
import torch

from salmu_core.train.order import rows_at
from salmu_core.train.seeding import generator, permutation, seed_of


def test_no_epoch_draws_a_row_twice_and_every_row_has_its_turn():
    n, size = 23, 7
    drawn = np.concatenate([rows_at(n, size, step, "seed") for step in range(30)])
    epochs = drawn.reshape(-1, n // size * size)
    assert all(len(set(epoch)) == len(epoch) for epoch in epochs)
    assert set(drawn) == set(range(n))
    whole = np.concatenate([rows_at(24, 8, step, "seed") for step in range(3)])
    assert sorted(whole) == list(range(24))


def test_a_step_is_a_pure_function_of_its_number():
    forwards = [rows_at(50, 8, step, 3, "forget") for step in range(20)]
    backwards = [rows_at(50, 8, step, 3, "forget") for step in reversed(range(20))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not np.array_equal(forwards[0], rows_at(50, 8, 0, 4, "forget"))
    assert not np.array_equal(forwards[0], rows_at(50, 8, 0, 3, "retain"))


def test_seeds_depend_on_every_part_and_not_on_how_they_are_cut():
    assert seed_of("a", "bc") != seed_of("ab", "c")
    assert 0 <= seed_of("x") < 2**63
    assert torch.equal(torch.rand(3, generator=generator(1)), torch.rand(3, generator=generator(1)))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    permutation(10, "anything")
    rows_at(10, 4, 2, "anything")
    assert torch.equal(before, torch.get_rng_state())

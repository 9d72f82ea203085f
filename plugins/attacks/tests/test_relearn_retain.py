from salmu_attacks import relearn_retain as plugin

from salmu_core.testing import check_attack, run_attack

test_conformance = check_attack("relearn-retain", rates=(10, 100), curve=(2, 5))


def test_it_trains_on_retain_pairs_alone_for_as_long_as_it_says(tiny_benchmark):
    outcome = run_attack(plugin.RELEARN_RETAIN, tiny_benchmark, rates=(10,), curve=(7, 2), batch_size=4)
    assert (outcome.ledger.steps, outcome.ledger.retain_samples, outcome.ledger.forget_samples) == (9, 36, 0)
    first, *_, last = (value for step, value in outcome.scalars["loss"] if step <= 7)
    assert outcome.leaked == () and last < first

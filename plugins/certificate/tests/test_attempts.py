"""What a certificate says of attacks on the run: the person's rows, read by hand; and that none changes the word."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from certificates import GONE, KEPT, PLACE, Page

stores = pytest.importorskip("attacked_stores", reason="it lies beside the core's tests")
write_attack, write_not_measured = stores.write_attack, stores.write_not_measured


@pytest.fixture
def attacked(made, tmp_path):
    """The good run, from which one attack brings back half of what the other rows had, and one by the original all."""
    root = shutil.copytree(made.parent, tmp_path / "runs") / made.name
    run, models = root / "good" / PLACE, {role: root / "_references" / role for role in ("compromised", "clean")}
    top = values(models["compromised"])
    for owner, share in ((run, 0.5), (models["compromised"], 1.0), (models["clean"], 0.0)):
        own = values(owner)
        write_attack(
            owner, {"early": lambda _, own=own: own, "late": lambda _, own=own, s=share: own + s * (top - own)}
        )
        write_attack(owner, lambda _, own=own: top if own is not top else own, name="reload", given=("original",))
        write_not_measured(owner, "no row has a name", name="infer", given=("original",))
    return run


def values(owner):
    table = pq.read_table(owner / "per_row.parquet").to_pylist()
    return np.array([row["value"] for row in table if row["column"] == "RetFail_MRR"])


def mean_of(owner, identity):
    table = pq.read_table(owner / "per_row.parquet").to_pylist()
    return np.mean([r["value"] for r in table if r["column"] == "RetFail_MRR" and r["identity_id"] == identity])


def test_each_attack_is_told_of_this_person_and_of_everybody(certify, attacked, good):
    certificate, text = certify(attacked, GONE)
    plain, _ = certify(good, GONE)
    by_name = {each.attack: each for each in certificate.attempts}
    relearn, reload = by_name["relearn"], by_name["reload"]
    references = attacked.parents[2] / "_references"
    top, bottom, own = (mean_of(each, GONE) for each in (references / "compromised", references / "clean", attacked))
    expected = (top, own + (top - own) / 2, bottom)
    assert (relearn.values.before, relearn.values.after, relearn.values.clean) == pytest.approx(expected)
    assert relearn.without == pytest.approx(own) and (relearn.query, relearn.rows) == ("late", 4)
    assert relearn.difference.value == pytest.approx(expected[1] - bottom) and relearn.stand == "above Clean"
    assert relearn.everybody.value == pytest.approx(0.5, abs=0.05) and relearn.shows.startswith("more than 1.0%")
    assert reload.holds == "the original's weights" and reload.shows.startswith("a diagnosis")
    assert by_name["infer"].shows == "infer is not measured: no row has a name" and by_name["infer"].values is None
    modes = {mode.mode: mode.says for mode in certificate.population.modes}
    assert modes["recoverable"] == "shown" and "An attack brings back" in certificate.population.caution
    assert [each.word for each in certificate.verdicts] == [each.word for each in plain.verdicts]
    assert plain.attempts == () and "recoverable" not in {mode.mode for mode in plain.population.modes}
    rows = [" ".join(" ".join(row).split()) for row in Page(text).rows]
    assert any("relearn, late" in row and f"{expected[1]:.4f}" in row and "leaked pairs" in row for row in rows)
    assert certify(attacked, KEPT)[0].attempts == ()  # of whom nothing was to be forgotten

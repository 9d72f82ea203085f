"""What a card says of attacks: which were made, what they brought back, and where none was made, that."""

from dataclasses import replace

import pytest
from salmu_publish.card import attacks, templates

from salmu_core.judge.recovery import recoveries

Models = pytest.importorskip("attacked_models", reason="it lies beside the core's tests").Models
HOSTILE = "<script>alert(1)</script> | **b**"


def section(found):
    return templates().get_template("attacks.md.jinja").render(attacks=attacks(found))


def test_every_attack_is_a_row_with_its_share_and_what_it_shows():
    (it,) = recoveries(*(models := Models()).results())
    others = [
        replace(it, label=HOSTILE, given=("original",), verdict=None),
        replace(it, label="weak", verdict=None),
        replace(it, label="fell", recovered=None, attacked=None, before=None),
        replace(it, label="lacks", recovered=None, attacked=None, before=None, not_measured={"": "no row has a name"}),
    ]
    text = section([it, *others])
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == 5 and all(len(row) == 5 for row in rows)
    name, holds, back, before, shows = rows[0]
    assert (name, holds) == ("relearn", "leaked pairs") and shows == "more than 1.0% comes back"
    assert float(back.split("%")[0]) == pytest.approx(100 * models.share(0, 0), abs=0.06)
    assert float(before.split("%")[0]) == pytest.approx(100 * models.share(0, 0, 0), abs=0.06)
    assert "original's weights" in rows[1][1] and "not judged" in rows[1][4] and rows[2][4].startswith("nothing")
    assert (rows[4][2], rows[4][4]) == ("not measured", "nothing: no row has a name")
    assert rows[3][2] == "no result" and "<script>" not in text


def test_where_none_was_made_the_card_says_so():
    assert "None was made on this model" in section([])

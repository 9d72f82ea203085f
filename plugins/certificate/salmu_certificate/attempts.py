"""What attacks on the run brought back of one person, beside both reference models under the same attack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from salmu_certificate.evidence import Dossier
from salmu_certificate.records import Attempt, Ends, Stand, Three
from salmu_certificate.trials import by_attribute
from salmu_core.contract.layout import FORGET
from salmu_core.judge.diagnosis import Verdict
from salmu_core.judge.recoverable import Recovery
from salmu_core.judge.statistics import interval
from salmu_core.show.words import held
from salmu_core.store.attacks import QUERY, attack_folder
from salmu_core.store.schema import ROWS


def attempts(evidence: Dossier) -> tuple[Attempt, ...]:
    """Every attack on the run; none of a person of whom nothing was to be forgotten."""
    if all(association.split != FORGET for association in evidence.person.associations):
        return ()
    return tuple(_attempts(evidence))


def _attempts(evidence: Dossier) -> Iterator[Attempt]:
    run = evidence.run
    owners = (run.store.reference(run.world, "compromised"), run.folder, run.store.reference(run.world, "clean"))
    for it in run.line.recoveries:
        made = Attempt(
            attack=it.label,
            holds=held(it.given),
            figure=it.figure,
            query=it.query,
            everybody=Ends.of(it.recovered) if it.recovered else None,
            shows=_shows(it),
        )
        models = [_rows(owner, it, evidence) for owner in owners] if it.attacked else []
        if not all(models) or not models:
            yield made
            continue
        own = evidence.after.rows[it.figure].values
        before, after, clean = (by_attribute(evidence, FORGET, model) for model in models)
        without = [own[name] for name in models[1] if name in own]
        difference = interval(after - clean)
        yield made.model_copy(
            update={
                "rows": len(models[1]),
                "values": Three(before=before.mean, after=after.mean, clean=clean.mean),
                "without": sum(without) / len(without) if without else None,
                "difference": Ends.of(difference),
                "stand": Stand.ABOVE if difference.low > 0 else Stand.BELOW if difference.high < 0 else Stand.OPEN,
            }
        )


def _rows(owner: Path, it: Recovery, evidence: Dossier) -> dict[str, float]:
    """File name -> value of this person's rows that the attacker did not hold, by the query or stage that counts."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = attack_folder(owner, (it.attack, it.config_hash)) / ROWS
    wanted = (pc.field("identity_id") == evidence.person.identity_id) & (pc.field("column") == it.figure)
    if QUERY in pq.read_schema(path).names and it.query:
        wanted &= pc.field(QUERY) == it.query
    table = pq.read_table(path, columns=["file_name", "value"], filters=wanted)
    return dict(zip(table["file_name"].to_pylist(), table["value"].to_pylist(), strict=True))


def _shows(it: Recovery) -> str:
    """What an attack shows of all people."""
    if it.attacked is None:
        return "; ".join(it.gaps)
    if not it.is_judged:
        return "a diagnosis, not judged: whoever holds the original's weights needs no attack"
    if it.verdict is None:
        return "nothing: it brings too little back even from the model before"
    more = f"more than {it.bar:.1%} of the leak comes back"
    return {Verdict.HOLDS: more, Verdict.CLEAR: f"no {more}"}.get(it.verdict, f"it can't be told whether {more}")

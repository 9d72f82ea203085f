"""Who is in the data set, before anything is drawn or invented: number, country and gender."""

from __future__ import annotations

from dataclasses import dataclass

from salmu_mini.seeds import stream

from salmu_core import UsageError
from salmu_dataset.countries import COUNTRIES, Country


@dataclass(frozen=True)
class Identity:
    """A fictitious person; `gender` is "female" or "male"."""

    number: int
    country: Country
    gender: str

    @property
    def identity_id(self) -> str:
        return f"{self.number:08d}"


def make_identities(seed: int, count: int, countries: int) -> list[Identity]:
    """`count` people, spread over `countries` and the genders within each as evenly as whole numbers allow.

    Raises:
        UsageError: There are fewer countries to choose from, or fewer people than countries.
    """
    if not 1 <= countries <= len(COUNTRIES):
        raise UsageError(f"--countries {countries}: there are 1 to {len(COUNTRIES)} to choose from.")
    if count < countries:
        raise UsageError(f"--identities {count}: {countries} countries need a person each; ask for fewer countries.")
    chosen = [COUNTRIES[int(n)] for n in stream(seed, "countries").permutation(len(COUNTRIES))[:countries]]
    return [
        # The second term starts every other country with a man, so that an odd number of rounds balances too.
        Identity(n, chosen[n % countries], ("female", "male")[(n // countries + n % countries) % 2])
        for n in range(count)
    ]

"""Where the fictitious people live.

Every country here has an IBAN, so that no attribute of a person is foreign to the country. The locale is the one whose
names Faker knows; where it has none for the country, that of the nearest language it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Country:
    """A country by its ISO 3166 code, and the Faker locale its names come from."""

    code: str
    locale: str


_TABLE: Final = """
GB en_GB  IE en_IE  FR fr_FR  BE fr_BE  NL nl_NL  LU de_LU  DE de_DE  AT de_AT  CH de_CH  IT it_IT  ES es_ES
PT pt_PT  DK da_DK  NO no_NO  SE sv_SE  FI fi_FI  IS is_IS  EE et_EE  LV lv_LV  LT lt_LT  PL pl_PL  CZ cs_CZ
SK sk_SK  HU hu_HU  SI sl_SI  HR hr_HR  BA hr_HR  RS hr_HR  ME hr_HR  MK mk_MK  GR el_GR  CY el_GR  BG bg_BG
RO ro_RO  MD ro_RO  UA uk_UA  BY ru_RU  TR tr_TR  AZ az_AZ  GE ka_GE  KZ ru_RU  IL he_IL  EG ar_AA  JO ar_PS
SA ar_SA  AE ar_AA  LB fr_DZ  PK en_PK  TL pt_PT  MA fr_DZ  TN fr_DZ  DZ fr_DZ  CM fr_FR  CI fr_FR  SN fr_FR
ML fr_FR  BJ fr_FR  BF fr_FR  BR pt_BR  CR es_CO  DO es_CO  GT es_MX  SV es_MX  NI es_CO  HN es_MX
"""

COUNTRIES: Final[tuple[Country, ...]] = tuple(
    Country(code, locale) for code, locale in zip(_TABLE.split()[::2], _TABLE.split()[1::2], strict=True)
)

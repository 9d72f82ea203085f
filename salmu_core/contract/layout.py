"""Names of the released layout: the one place that knows how the benchmark's files are called."""

from typing import Literal, get_args

FORGET = "forget"
HOLDOUT_ASSOCIATION = "holdout_association"
HOLDOUT_IDENTITY = "holdout_identity"
RETAIN_SYNTH = "retain_synth"
#: Sets that no method is shown, and that must be kept.
HOLDOUTS = (HOLDOUT_IDENTITY, HOLDOUT_ASSOCIATION)
#: Splits that have parquet shards of their own.
BASE_SPLITS = (FORGET, HOLDOUT_ASSOCIATION, HOLDOUT_IDENTITY, RETAIN_SYNTH)
#: Splits that are found by rule among the rows of the base splits.
DERIVED_SPLITS = ("forget_identity", "forget_association", "retain_joint", "retain_disjoint", "fragile_set")
#: Those whose rows are to be forgotten.
FORGET_SPLITS = (FORGET, "forget_identity", "forget_association")
ZEROSHOT = "zeroshot"
SPLITS = (*BASE_SPLITS, *DERIVED_SPLITS, ZEROSHOT)

#: The splits by name, for declarations.
Split = Literal[
    "forget",
    "forget_identity",
    "forget_association",
    "holdout_association",
    "holdout_identity",
    "retain_synth",
    "retain_joint",
    "retain_disjoint",
    "fragile_set",
    "zeroshot",
]

COLUMNS = ("image", "text", "identity_id", "file_name")

IDENTITIES = "identities_metadata.json"
CAPTIONS_METADATA = "sensitive_set_captions_metadata.json"
GENERIC_CAPTIONS = "sensitive_set_generic_captions.json"
FRAGILE_IDS = "fragile_set_ids.json"
FRAGILE_SIMILARITIES = "fragile_set_all_similarities.json"

JSON_FILES = (IDENTITIES, CAPTIONS_METADATA, GENERIC_CAPTIONS, FRAGILE_IDS, FRAGILE_SIMILARITIES)

#: The nine private attributes, in the paper's order.
DATA_FIELDS = ("name", "city", "job", "phone_number", "emails", "iban", "credit_card", "passport", "blood_type")

Role = Literal["clean", "compromised"]
#: The two reference models: never trained on the sensitive set, and trained on it.
ROLES: tuple[str, ...] = get_args(Role)
#: Groups of metrics: what should be gone, and what should stay.
Pillar = Literal["efficacy", "utility"]
PILLARS: tuple[str, ...] = get_args(Pillar)

#: What a benchmark's folder was when it was built or downloaded; see `salmu_core.benchmark.manifest`.
MANIFEST = "manifest.json"
#: Name of the weights in a model's folder, as open_clip has it.
WEIGHTS = "open_clip_model.safetensors"

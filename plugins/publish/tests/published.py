"""What tests of the folder and of the upload share."""

import json

from salmu_core.disk.record import seal_of

FILES = {
    "README.md",
    "metrics.json",
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "run.json",
    "salmu_canary.json",
}


def edit(path, **changes):
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({**content, "seal": seal_of(content)} if "seal" in content else content))


def card(folder):
    return (folder / "README.md").read_text()

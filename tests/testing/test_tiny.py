"""The tiny benchmark is the same whatever was made of it before."""

from salmu_core.testing.tiny import tiny_config


def test_a_config_that_somebody_changed_is_nobody_elses():
    changed = tiny_config()
    changed["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"reduction_mask": "random"}
    changed["preprocess_cfg"]["mean"].clear()
    assert "tokenizer_kwargs" not in tiny_config()["model_cfg"]["text_cfg"]
    assert tiny_config()["preprocess_cfg"]["mean"] == [0.5, 0.5, 0.5]

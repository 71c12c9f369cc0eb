"""Model configs for the planner without the Hub: from a `config.json`, or of a usual shape with a number of parameters."""

import json
import re
from pathlib import Path
from typing import Any

_UNITS = {"": 1.0, "m": 1e6, "b": 1e9}
_VOCABULARY = 151_936
# Width, feed-forward width and attention heads of dense models, from small to large (those of Qwen3).
_SHAPES = (
    (1024, 3072, 16), (2048, 6144, 16), (2560, 9728, 32), (4096, 12288, 32), (5120, 17408, 40), (5120, 25600, 64),
    (8192, 29568, 64),
)  # fmt: skip
_MOST_LAYERS = 48  # of a shape, before the next wider one is taken


def parameters_of(text: str) -> float:
    """Number of parameters: `1.7B`, `600M` or a plain number."""
    match = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*([mb]?)", text.strip().lower())
    try:
        number = float(match[1]) * _UNITS[match[2]] if match else 0.0
    except ValueError:
        number = 0.0
    if not 1e6 <= number <= 2e12:
        raise ValueError(f"{text!r} is not a number of parameters such as 1.7B or 600M.")
    return number


def config_of_size(parameters: float) -> Any:
    """Config of a dense model of about so many parameters, in the shape that such models usually have."""
    from transformers import Qwen3Config

    for hidden, intermediate, heads in _SHAPES:
        vocabulary, tied = _VOCABULARY, hidden < 4096
        embedding = vocabulary * hidden * (1 if tied else 2)
        layer = 2 * hidden * heads * 128 + 2 * hidden * 8 * 128 + 3 * hidden * intermediate
        layers = max(1, round((parameters - embedding) / layer))
        if layers <= _MOST_LAYERS:
            break
    if parameters < embedding:  # smaller than the smallest shape: a small vocabulary is the rest
        vocabulary = max(1000, round((parameters - layers * layer) / hidden))
    return Qwen3Config(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=8, head_dim=128, tie_word_embeddings=tied,
    )  # fmt: skip


def config_of_file(path: str | Path) -> Any:
    """Config in a `config.json`, or in a folder with one; no code of the model is run."""
    from transformers import AutoConfig

    file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return AutoConfig.for_model(values.pop("model_type"), **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--model_config {path} is not a config.json of a known model: {error}.") from None

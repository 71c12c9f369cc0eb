"""Merge a trained adapter into its base model, for inference engines that take plain models."""

from pathlib import Path
from typing import Any

from ..demo.names import model_folder
from ..reports.run_log import read_config


def merge_adapter(adapter: str | Path, output: str | Path, base: str | None = None, dtype: str = "auto") -> Path:
    """Merge an adapter into its base model and save the result with its tokenizer."""
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    adapter, output = Path(adapter), Path(output)
    if not (adapter / "adapter_config.json").is_file():
        raise ValueError(f"{adapter} holds no adapter (adapter_config.json). A full model needs no merge.")
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} exists and is not empty. Name another folder.")
    trained_on = PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    if base is None and trained_on is None:
        raise ValueError(f"{adapter} does not say what its base model is. Name it with --model.")
    bits = _bits_in_training(adapter)
    if base is None and bits is not None:
        raise ValueError(
            f"{adapter} was trained on {trained_on} loaded in {bits} bits, and merging into such weights would round the "
            f"adapter to {bits} bits. Name the unquantized model with --model {trained_on} to merge into its full weights; "
            "the result differs from the trained model by the rounding of the base."
        )
    base = model_folder(base or str(trained_on))
    is_quantized = ValueError(
        f"The weights of {base} are quantized, and an adapter merged into them would be rounded to 4 or 8 bits. Name the "
        "unquantized model that they were made from with --model; QLoRA adapters merge into it."
    )
    if getattr(AutoConfig.from_pretrained(base), "quantization_config", None) is not None:
        raise is_quantized
    model, found = AutoModelForCausalLM.from_pretrained(
        base, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
    )
    if _holds_quantized_weights(model, found):
        raise is_quantized
    if found["mismatched_keys"]:
        raise ValueError(
            f"The weights of {base} do not fit its config: {sorted(map(str, found['mismatched_keys']))[0]}."
        )
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(output)
    AutoTokenizer.from_pretrained(str(adapter) if has_tokenizer else base).save_pretrained(output)
    return output


def _bits_in_training(adapter: Path) -> int | None:
    """Bits of the base that an adapter was trained on, if its run says so; a checkpoint's run is the folder above."""
    for folder in (adapter, adapter.parent):
        fields = (read_config(folder) or {}).get("fields", {})
        for bits in (4, 8):
            if fields.get(f"load_in_{bits}bit"):
                return bits
    return None


def _holds_quantized_weights(model: Any, loading_info: dict[str, Any]) -> bool:
    """Whether integers came out of the files, also where the config does not mention it."""
    marks = (".absmax", ".quant_map", ".quant_state", ".SCB")  # what bitsandbytes stores beside packed weights
    packed = any(mark in str(key) for key in loading_info["unexpected_keys"] for mark in marks)
    return packed or not all(parameter.is_floating_point() for parameter in model.parameters())

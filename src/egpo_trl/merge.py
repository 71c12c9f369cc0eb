"""Merge a trained adapter into its base model, for inference engines that take plain models."""

from pathlib import Path


def merge_adapter(adapter: str | Path, output: str | Path, base: str | None = None, dtype: str = "auto") -> Path:
    """
    Merge an adapter into its base model and save the result with its tokenizer.

    Args:
        adapter (`str` or `Path`):
            Output folder of a run with `use_peft: true`, or a checkpoint of one.
        output (`str` or `Path`):
            Folder to write.
        base (`str`, *optional*):
            Folder or Hub id of the base model. By default the one that the adapter was trained on.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Number format to load and save the model in; `"auto"` is that of the base model.

    Returns:
        `Path`:
            The folder written.

    Raises:
        ValueError: If the folder holds no adapter, would be overwritten, or the base model is quantized.
    """
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    adapter, output = Path(adapter), Path(output)
    if not (adapter / "adapter_config.json").is_file():
        raise ValueError(f"{adapter} holds no adapter (adapter_config.json). A full model needs no merge.")
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} exists and is not empty. Name another folder.")
    base = base or PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path
    if base is None:
        raise ValueError(f"{adapter} does not say what its base model is. Name it with --base.")
    if getattr(AutoConfig.from_pretrained(base), "quantization_config", None) is not None:
        raise ValueError(
            f"The weights of {base} are quantized, and an adapter merged into them would be rounded to 4 or 8 bits. Name "
            "the unquantized model that they were made from with --base; QLoRA adapters merge into it."
        )
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(output)
    AutoTokenizer.from_pretrained(str(adapter) if has_tokenizer else base).save_pretrained(output)
    return output

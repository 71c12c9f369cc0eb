"""Where the warm-started tiny policy lies in the installed package."""

from pathlib import Path


def demo_policy_path() -> Path:
    """
    Folder of the tiny policy: Qwen3 architecture, about a million parameters, its tokenizer and chat template.

    Returns:
        `Path`:
            A folder that `from_pretrained` loads.
    """
    return Path(__file__).parent / "checkpoint"

"""Finds the warm-started tiny policies in the installed package."""

from pathlib import Path


def demo_policy_path(world: str = "single-turn") -> Path:
    """
    Folder of a tiny policy: Qwen3 architecture, about a million parameters, its tokenizer and chat template.

    Args:
        world (`str`, *optional*, defaults to `"single-turn"`):
            World whose demonstrations it imitates, `"single-turn"` or `"multi-turn"`.

    Returns:
        `Path`:
            A folder that `from_pretrained` loads.
    """
    return Path(__file__).parent / {"single-turn": "checkpoint", "multi-turn": "multi_turn_checkpoint"}[world]

"""Names the embedded worlds and policies, and finds the folder of a model by its name."""

from pathlib import Path

from .policy import demo_policy_path

DEMO = "demo"
DEMO_MULTI_TURN = "demo-multiturn"
DEMOS = (DEMO, DEMO_MULTI_TURN)


def model_folder(name: str | Path | None) -> str:
    """Folder or Hub id of a model, as every command and [`EGPOTrainer`] resolve it."""
    if name is None or str(name) == DEMO:
        return str(demo_policy_path())
    return str(demo_policy_path("multi-turn")) if str(name) == DEMO_MULTI_TURN else str(name)

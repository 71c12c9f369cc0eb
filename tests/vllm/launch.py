"""`egpo-trl train` with vLLM on a CPU: `python tests/vllm/launch.py --config … [--field value …]`."""

import torch


def keep_weights_reloadable() -> None:
    """
    Leave linear weights as they are loaded. vLLM's CPU build repacks them for its kernels, and such weights cannot be
    loaded again, which is how TRL hands over an update. On GPUs nothing is repacked.
    """
    from vllm.model_executor.layers import utils

    def plain(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    utils.dispatch_cpu_unquantized_gemm = plain


if __name__ == "__main__":
    keep_weights_reloadable()
    from egpo_trl.cli import train

    train()

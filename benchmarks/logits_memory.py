"""How much memory the log-probabilities of a completion take on a CPU, forward and backward: `python
benchmarks/logits_memory.py 4096`, for TRL's fused head, and with `--whole` for whole logits.

The model has the vocabulary of Qwen3 and next to nothing else. `MALLOC_MMAP_THRESHOLD_=1000000` makes the system
take freed memory back at once, so that the peak is the peak.
"""

import argparse
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl.trainer.utils import add_fused_lm_head

VOCABULARY, ROW, PAGE = 151_936, 512, 4096  # entries, tokens of a sequence, bytes


def held() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def peak_above(run: Callable[[], None]) -> int:
    """The most bytes held while `run` runs, above those held before."""
    before, most, done = held(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.002):
            most = max(most, held())

    thread = threading.Thread(target=watch)
    thread.start()
    run()
    done.set()
    thread.join()
    return most - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=int, help="tokens of the batch, a multiple of 512")
    parser.add_argument("--whole", action="store_true", help="whole logits in place of TRL's fused head")
    options = parser.parse_args()
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
            num_key_value_heads=1, head_dim=64,
        )
    ).float()  # fmt: skip
    ids = torch.randint(0, VOCABULARY, (options.tokens // ROW, ROW))
    mask = torch.ones_like(ids)
    if not options.whole:
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))

    def score() -> None:
        if options.whole:
            logits = model(input_ids=ids, attention_mask=mask).logits
            logps = torch.log_softmax(logits, -1).gather(-1, ids.unsqueeze(-1))
        else:
            logps = model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True).log_probs
        logps.sum().backward()

    print(f"{options.tokens} tokens: {peak_above(score) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

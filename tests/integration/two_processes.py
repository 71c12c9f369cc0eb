"""Run by `test_two_processes.py` under `torchrun`: each process computes the loss of its share of a batch and logs."""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from egpo_trl import EGPOTrainer
from egpo_trl.demo.policy import demo_policy_path
from tests.test_egpo_trainer import ADVANTAGES, TEXTS, make_batch
from tests.tiny import checksum_reward, config, prompts_only, tiny_model


def main(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(demo_policy_path())
    args = config(folder, per_device_train_batch_size=4)
    trainer = EGPOTrainer(tiny_model(tokenizer), checksum_reward, args, prompts_only(), processing_class=tokenizer)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    rank, world = trainer.accelerator.process_index, trainer.accelerator.num_processes
    share = slice(0, 2) if rank == 0 else slice(2, None)  # with unequal numbers of tokens
    share = slice(None) if world == 1 else share
    trainer._compute_loss(trainer.model, make_batch(tokenizer, TEXTS[share], ADVANTAGES[share]))
    logs: dict[str, float] = {}
    trainer.log(logs)
    (folder / f"logs-{world}-{rank}.json").write_text(json.dumps({k: v for k, v in logs.items() if "egpo/" in k}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

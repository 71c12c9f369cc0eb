"""`accelerate launch train.py --config configs/train/quickstart.yaml`; the same as `egpo-trl train`."""

from egpo_trl.cli import train

if __name__ == "__main__":
    train()

"""Runs `python -m egpo_trl.cli`, for launchers that take a module: `accelerate launch -m egpo_trl.cli sft …`."""

from . import main

if __name__ == "__main__":
    main()

"""Silences messages of libraries that a user can do nothing about."""

import logging
import warnings

_DROPPED = {  # logger -> start of the message
    "DeepSpeed": "Setting accelerator to CPU.",  # no GPU is here, which may be intended
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",  # a faster kernel that is optional
}


def _keeps(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_DROPPED[record.name])


def quiet_libraries() -> None:
    """Silence the few messages of the pinned libraries that no user can act on; call it before TRL is imported."""
    # TRL 1.16 uses names that transformers 5.23 is about to rename.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
    # TRL says so of the loop that calls tools; the range of versions in pyproject.toml takes care of it.
    warnings.filterwarnings("ignore", message="You are using 'environment_factory'", category=UserWarning)
    for name in _DROPPED:
        logging.getLogger(name).addFilter(_keeps)

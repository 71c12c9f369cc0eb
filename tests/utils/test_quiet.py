"""Messages that nobody can act on are dropped, and no others."""

import logging
import warnings

from egpo_trl.utils.quiet import quiet_libraries


def test_only_the_named_messages_are_dropped():
    logger = logging.getLogger("DeepSpeed")
    filters, seen = list(logger.filters), []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger.addHandler(handler)
    try:
        quiet_libraries()
        quiet_libraries()
        assert len(logger.filters) <= len(filters) + 1
        logger.warning(
            "Setting accelerator to CPU. If you have GPU or other accelerator, we were unable to detect it."
        )
        logger.warning("the disk is full")
    finally:
        logger.removeHandler(handler)
        logger.filters[:] = filters
    assert seen == ["the disk is full"]


def test_warnings_that_nobody_can_act_on_are_dropped():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quiet_libraries()
        for module in ("transformers.modeling_utils", "mine"):
            warnings.warn_explicit("renamed", FutureWarning, "x.py", 1, module=module)
        warnings.warn(
            "You are using 'environment_factory', which is an experimental feature.", UserWarning, stacklevel=1
        )
        warnings.warn("the disk is full", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["renamed", "the disk is full"]

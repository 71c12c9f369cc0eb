"""[`make_sampler`]: creates the sampler that a configuration describes."""

from typing import TYPE_CHECKING

from .config import SamplingConfig

if TYPE_CHECKING:
    from .sampler import Sampler


def make_sampler(config: SamplingConfig) -> "Sampler":
    if config.backend == "openai":
        from .endpoint_sampler import EndpointSampler

        return EndpointSampler(config)
    if config.backend == "vllm":
        from .vllm_sampler import VLLMSampler

        return VLLMSampler(config)
    from .local_sampler import TransformersSampler

    return TransformersSampler(config)

"""Checks a launch before a model is loaded: one clear error each, with the remedy."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trl import GRPOConfig, ModelConfig, SFTConfig

_BITSANDBYTES = ("bitsandbytes", "'egpo-trl[quantization]'")
# Values of fields that need a package: its name when imported, and what to install.
_PACKAGES_OF_OPTIMIZERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion_8bit", "lion_32bit",
         "paged_lion_8bit", "paged_lion_32bit", "ademamix", "ademamix_8bit", "paged_ademamix_32bit",
         "paged_ademamix_8bit", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"), _BITSANDBYTES,
    ),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), ("torchao", "torchao")),
    **dict.fromkeys(("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd"), ("schedulefree", "schedulefree")),
    **dict.fromkeys(("lomo", "adalomo"), ("lomo_optim", "lomo-optim")),
    "adamw_apex_fused": ("apex", "apex"),
    "grokadamw": ("grokadamw", "grokadamw"),
}  # fmt: skip
_PACKAGES_OF_TRACKERS: dict[str, tuple[str, str]] = {
    **{name: (name, "'egpo-trl[trackers]'") for name in ("wandb", "tensorboard", "trackio")},
    **{
        name: (name, name) for name in ("mlflow", "neptune", "clearml", "swanlab", "dvclive", "comet_ml", "codecarbon")
    },
}
SHARDED_ENGINES = ("zero3", "fsdp")


@dataclass(frozen=True)
class Launch:
    """What a process was launched on."""

    engine: str = "single"
    num_processes: int = 1
    compute_capability: tuple[int, int] | None = None


def deepspeed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """ZeRO stage and offloading, from DeepSpeed's own file where accelerate's settings name one."""
    names = ("offload_optimizer_device", "offload_param_device")
    file = settings.get("deepspeed_config_file")
    if file in (None, "", "none", "None"):
        return {"zero_stage": settings.get("zero_stage", 2), **{name: settings.get(name) or "none" for name in names}}
    try:
        zero = json.loads(Path(file).read_text(encoding="utf-8")).get("zero_optimization", {})
    except (OSError, ValueError):  # DeepSpeed takes other forms as well, and says itself what is wrong with one
        zero = {"stage": 2}
    devices = {name: (zero.get(name.removesuffix("_device")) or {}).get("device") or "none" for name in names}
    return {"zero_stage": zero.get("stage", 0), **devices}


def engine_of(environment: Mapping[str, str]) -> str:
    """Engine that `accelerate launch` or `torchrun` announced in the environment."""
    if environment.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
        file = environment.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
        stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", 2)
        return f"zero{deepspeed_settings({'deepspeed_config_file': file, 'zero_stage': stage})['zero_stage']}"
    if environment.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        return "fsdp"
    return "ddp" if int(environment.get("WORLD_SIZE", "1")) > 1 else "single"


def detect_launch(use_cpu: bool) -> Launch:
    import torch

    has_gpu = not use_cpu and torch.cuda.is_available() and torch.version.hip is None
    return Launch(
        engine=engine_of(os.environ),
        num_processes=int(os.environ.get("WORLD_SIZE", "1")),
        compute_capability=torch.cuda.get_device_capability() if has_gpu else None,
    )


def check_number_of_rows(rows: int, args: "GRPOConfig") -> None:
    """Check that the rows fill one generation: TRL drops an unfinished one, and would train on nothing."""
    needed = args.generation_batch_size // args.num_generations
    if rows < needed:
        raise ValueError(
            f"One generation takes {needed} different rows (generation_batch_size {args.generation_batch_size} / "
            f"num_generations {args.num_generations}), and the training data have {rows}. Lower "
            "gradient_accumulation_steps or per_device_train_batch_size, or add rows."
        )


def check_quantization(model_args: "ModelConfig", engine: str) -> None:
    """Check that the engine can train the quantized model."""
    if not (model_args.load_in_4bit or model_args.load_in_8bit):
        return
    bits = "load_in_4bit" if model_args.load_in_4bit else "load_in_8bit"
    if not model_args.use_peft:
        raise ValueError(f"{bits} freezes the weights, so there is nothing to train. Set use_peft: true (QLoRA).")
    if engine not in SHARDED_ENGINES:
        return
    if model_args.load_in_8bit:
        raise ValueError(
            f"{engine} cannot share out 8-bit weights. Launch with configs/accelerate/ddp.yaml or zero2.yaml, or use "
            "load_in_4bit with bnb_4bit_quant_storage."
        )
    if model_args.bnb_4bit_quant_storage != model_args.dtype or not str(model_args.dtype).endswith("float16"):
        raise ValueError(
            f"{engine} shares out 4-bit weights only if they are stored as the other parameters are: got "
            f"bnb_4bit_quant_storage {model_args.bnb_4bit_quant_storage} and dtype {model_args.dtype}. Set both to "
            "bfloat16, or launch with configs/accelerate/ddp.yaml or zero2.yaml."
        )


def check_precision(args: "GRPOConfig | SFTConfig", model_args: "ModelConfig", launch: Launch) -> list[str]:
    """Check the number formats against the hardware and against each other."""
    dtype = str(model_args.dtype).removeprefix("torch.")
    in_bf16 = dtype == "bfloat16"
    if launch.compute_capability is not None and launch.compute_capability < (8, 0) and (args.bf16 or in_bf16):
        major, minor = launch.compute_capability
        raise ValueError(
            f"This GPU (compute capability {major}.{minor}) only emulates bfloat16; 8.0 or higher has it. Set bf16: "
            "false, fp16: true and dtype: float16 (with use_peft) or float32, as configs/train/qlora_t4.yaml does, and "
            "launch with --mixed_precision fp16."
        )
    if args.fp16 and in_bf16:
        raise ValueError(
            "fp16: true with dtype: bfloat16: the loss scaler takes no bfloat16 gradients. Use bf16: true."
        )
    full = not model_args.use_peft
    scaled_by_torch = launch.engine in ("single", "ddp")
    if args.fp16 and full and scaled_by_torch and dtype == "float16":
        raise ValueError(
            "fp16: true trains weights that are held in float32: with dtype: float16 the optimizer's first step fails "
            "with 'Attempting to unscale FP16 gradients'. Set dtype: float32, or use_peft: true."
        )
    if full and scaled_by_torch and in_bf16 and args.learning_rate < 1e-4:
        return [
            f"dtype: bfloat16 with learning_rate {args.learning_rate:g}: bfloat16 has steps of 1/256 of a weight's size, "
            "so that most updates round to nothing. Set dtype: float32 (bf16: true still computes in bfloat16), or "
            "launch with configs/accelerate/zero2.yaml, which keeps float32 weights in the optimizer."
        ]
    return []


def context_limits(args: "GRPOConfig", context: int | None) -> list[tuple[str, int, str]]:
    """What bounds a prompt and its completion: name, tokens, and the remedy where they do not fit."""
    limits = [] if context is None else [("the model's context", context, "Choose a model with a longer one")]
    if args.use_vllm and args.vllm_mode == "colocate" and args.vllm_max_model_length is not None:
        limits.append(("vllm_max_model_length", args.vllm_max_model_length, "Raise it"))
    return limits


def check_lengths(args: "GRPOConfig", longest_prompt: int, context: int | None) -> list[str]:
    """Check prompts and completions against the context of the model and of vLLM."""
    found = []
    if args.use_vllm and args.vllm_mode == "server" and args.vllm_max_model_length is not None:
        found.append(
            "vllm_max_model_length is read in colocate mode only. Start the server with "
            f"--max_model_len {args.vllm_max_model_length}."
        )
    for name, limit, remedy in context_limits(args, context):
        if context is not None and limit > context:
            raise ValueError(f"{name} ({limit}) is more than the model's context ({context}). Lower it to {context}.")
        if args.max_completion_length >= limit:
            raise ValueError(
                f"max_completion_length ({args.max_completion_length}) leaves no room for a prompt in {name} ({limit}). "
                f"{remedy}, or lower max_completion_length."
            )
        if longest_prompt >= limit:
            raise ValueError(
                f"The longest prompt has {longest_prompt} tokens, which {name} ({limit}) cannot hold. {remedy}, or "
                "set drop_long_rows: true."
            )
        if longest_prompt + args.max_completion_length > limit:
            found.append(
                f"The longest prompt ({longest_prompt} tokens) and max_completion_length ({args.max_completion_length}) "
                f"exceed {name} ({limit}): its completions can be cut off. {remedy}, lower max_completion_length to "
                f"{limit - longest_prompt}, or set drop_long_rows: true."
            )
    return found


def check_reference_model(args: "GRPOConfig", model_args: "ModelConfig") -> list[str]:
    """Say when a second copy of the model is loaded as the reference of the KL term."""
    needed = args.beta != 0.0 and not model_args.use_peft
    if args.sync_ref_model and not needed:
        reason = "use_peft: true needs none" if model_args.use_peft else "beta: 0 needs none"
        raise ValueError(f"sync_ref_model: true needs a reference model, and {reason}. Set sync_ref_model: false.")
    if not needed:
        return []
    return [
        f"beta {args.beta:g} loads the model a second time as the reference of the KL term. beta: 0 or use_peft: true "
        "saves that memory."
    ]


def check_packages(args: "GRPOConfig | SFTConfig", model_args: "ModelConfig") -> None:
    """Raise `ValueError` with what to install if a field needs a package that is missing."""
    trackers = [args.report_to] if isinstance(args.report_to, str) else list(args.report_to or ())
    optimizer = str(getattr(args.optim, "value", args.optim))
    needed = (
        ("use_vllm: true", getattr(args, "use_vllm", False), ("vllm", "'egpo-trl[vllm]'")),
        ("load_in_4bit: true", model_args.load_in_4bit, _BITSANDBYTES),
        ("load_in_8bit: true", model_args.load_in_8bit, _BITSANDBYTES),
        ("use_liger_kernel: true", args.use_liger_kernel, ("liger_kernel", "liger-kernel")),
        ("deepspeed", args.deepspeed, ("deepspeed", "'egpo-trl[deepspeed]'")),
        (
            f"optim: {optimizer}",
            optimizer in _PACKAGES_OF_OPTIMIZERS,
            _PACKAGES_OF_OPTIMIZERS.get(optimizer, ("", "")),
        ),
        *(
            (f"report_to: {name}", True, _PACKAGES_OF_TRACKERS[name])
            for name in trackers
            if name in _PACKAGES_OF_TRACKERS
        ),
    )
    for field, is_asked, (package, install) in needed:
        if is_asked and not is_installed(package):
            raise ValueError(f"{field} needs the package {package}, which is missing: pip install {install}.")


def is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # a module that was put in its place, or taken out of it
        return False


def check_engine(args: "GRPOConfig | SFTConfig", model_args: "ModelConfig", launch: Launch) -> list[str]:
    """Checks of packages, quantization and number formats, for every command that trains."""
    check_packages(args, model_args)
    check_quantization(model_args, launch.engine)
    return check_precision(args, model_args, launch)


def check_launch(args: "GRPOConfig", model_args: "ModelConfig", launch: Launch) -> list[str]:
    """All checks of `egpo-trl train` that need neither rows nor the model's config."""
    return [*check_engine(args, model_args, launch), *check_reference_model(args, model_args)]

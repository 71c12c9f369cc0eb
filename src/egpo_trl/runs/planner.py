"""Calculates the memory of a run on each GPU in bytes from the model's config; activations and KV cache are estimates."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .launch_checks import deepspeed_settings

if TYPE_CHECKING:
    from trl import GRPOConfig, ModelConfig

USABLE_SHARE = 0.92  # of a GPU: an allowance for the CUDA context and fragmentation
LOGITS_TILE = (4096, 32_768)  # tokens and vocabulary entries that TRL 1.16 scores at a time, never all logits at once
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a model that determine its memory."""

    parameters: int
    largest_layer: int
    linear: int
    adapter: int
    layers: int
    hidden: int
    attention: int
    intermediate: int
    kv_width: int
    vocabulary: int


@dataclass(frozen=True)
class Plan:
    """The settings of a run that determine its memory."""

    engine: str
    processes: int
    offload_optimizer: bool
    offload_parameters: bool
    dtype_bytes: int
    adapters: bool
    bits: int
    nested: bool
    reference: bool
    micro_batch: int
    rollouts: int
    tokens: int
    checkpointing: bool
    vllm: str
    vllm_share: float
    prompt: int = 0
    group: int = 1
    token_limit: int | None = None
    step_rollouts: int = 0

    def pass_tokens(self, limited: bool = True) -> int:
        """Tokens of a forward pass of the update, or without its limit of a whole micro-batch."""
        prompts = -(-self.micro_batch // self.group)
        tokens = self.micro_batch * (self.tokens - self.prompt) + prompts * self.prompt
        return tokens if self.token_limit is None or not limited else min(tokens, max(self.token_limit, self.tokens))


def measure_model(config: Any, peft_config: Any = None) -> ModelSize:
    """Size of a model, from its config on the meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        own = [sum(p.numel() for p in module.parameters(recurse=False)) for module in model.modules()]
        linear = [
            module.weight.numel()
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
        ]
        parameters = sum(p.numel() for p in model.parameters())
        adapter = 0
        if peft_config is not None:
            from peft import get_peft_model

            adapted = get_peft_model(model, peft_config)
            adapter = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    text = config.get_text_config()
    heads = text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
    return ModelSize(
        parameters=parameters,
        largest_layer=max(own),
        linear=sum(linear),
        adapter=adapter,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        attention=heads * head_dim,
        intermediate=getattr(text, "intermediate_size", 4 * text.hidden_size),
        kv_width=2 * (getattr(text, "num_key_value_heads", None) or heads) * head_dim,
        vocabulary=text.vocab_size,
    )


def make_plan(
    args: "GRPOConfig", model_args: "ModelConfig", accelerate_config: dict[str, Any], prompt_length: int
) -> Plan:
    kind = accelerate_config["distributed_type"]
    deepspeed = deepspeed_settings(accelerate_config.get("deepspeed_config") or {})
    processes = accelerate_config["num_processes"]
    engine = {"DEEPSPEED": f"zero{deepspeed['zero_stage']}", "FSDP": "fsdp"}.get(kind)
    return Plan(
        engine=engine or ("single" if processes == 1 else "ddp"),
        processes=processes,
        offload_optimizer=deepspeed["offload_optimizer_device"] != "none",
        offload_parameters=deepspeed["offload_param_device"] != "none",
        dtype_bytes=DTYPE_BYTES[str(model_args.dtype)],
        adapters=model_args.use_peft,
        bits=4 if model_args.load_in_4bit else 8 if model_args.load_in_8bit else 16,
        nested=model_args.use_bnb_nested_quant,
        reference=args.beta != 0.0,
        micro_batch=args.per_device_train_batch_size,
        rollouts=args.per_device_train_batch_size * (args.steps_per_generation or args.gradient_accumulation_steps),
        tokens=prompt_length + args.max_completion_length,
        checkpointing=args.gradient_checkpointing,
        vllm=args.vllm_mode if args.use_vllm else "none",
        vllm_share=args.vllm_gpu_memory_utilization,
        prompt=prompt_length,
        group=args.num_generations if getattr(args, "share_prefixes", "never") == "always" else 1,
        token_limit=getattr(args, "max_tokens_per_pass", None),
        step_rollouts=args.per_device_train_batch_size * args.gradient_accumulation_steps,
    )


def model_states(size: ModelSize, plan: Plan) -> dict[str, float]:
    """Bytes on one GPU when every weight is trained, as DeepSpeed's own estimators count; FSDP2 holds float32 weights."""
    total, share = size.parameters, size.parameters / plan.processes
    if plan.engine == "zero3":
        layer = 4.0 * size.largest_layer
        parameters = 0.0 if plan.offload_parameters else 2 * share
        sharded = 0.0 if plan.offload_optimizer else share
        return {"parameters": parameters + layer, "gradients": 4 * sharded, "optimizer states": 12 * sharded}
    if plan.engine == "zero2":
        return {"parameters": 2.0 * total, "gradients": 6 * share, "optimizer states": 12 * share}
    if plan.engine == "zero1":
        return {"parameters": 2.0 * total, "gradients": 2.0 * total + 4 * share, "optimizer states": 12 * share}
    if plan.engine == "fsdp":
        layer = 4.0 * size.largest_layer
        return {"parameters": 4 * share + layer, "gradients": 4 * share, "optimizer states": 8 * share}
    buckets = 2 if plan.engine == "ddp" else 1  # DDP keeps a second copy of the gradients to reduce them
    weights = float(plan.dtype_bytes * total)
    return {"parameters": weights, "gradients": buckets * weights, "optimizer states": 2 * weights}


def _adapter_states(size: ModelSize, plan: Plan) -> dict[str, float]:
    """The same where adapters are trained on a frozen, possibly quantized base."""
    per_linear = {4: 0.5 + (1 / 64 + 4 / (64 * 256) if plan.nested else 4 / 64), 8: 1.0}.get(
        plan.bits, plan.dtype_bytes
    )
    base = per_linear * size.linear + plan.dtype_bytes * (size.parameters - size.linear)
    if plan.engine in ("zero3", "fsdp"):
        base = base / plan.processes + 2.0 * plan.dtype_bytes * size.largest_layer
    return {
        "parameters": base + 4 * size.adapter,
        "gradients": 4.0 * size.adapter,
        "optimizer states": 8.0 * size.adapter,
    }


def memory(size: ModelSize, plan: Plan, gpu_bytes: float) -> dict[str, float]:
    """Bytes on one GPU of `gpu_bytes`, by what takes them; names that begin with a space are parts of `"at a time"`."""
    sharded = plan.engine in ("zero3", "fsdp")
    found = _adapter_states(size, plan) if plan.adapters else model_states(size, plan)
    copy = float(plan.dtype_bytes * size.parameters)
    found["reference model"] = (
        0.0 if plan.adapters or not plan.reference else copy / (plan.processes if sharded else 1)
    )
    found["vLLM"] = plan.vllm_share * gpu_bytes if plan.vllm == "colocate" else 0.0
    tokens = plan.pass_tokens()
    # What a block keeps for its backward pass in 16 bits. Norms: input in float32, result, scaled result, of the residual
    # stream twice, of queries and keys once; queries, keys, values and result of attention; four feed-forward tensors.
    widths = 8 * size.hidden + 8 * size.attention + 2.5 * size.kv_width + 4 * size.intermediate
    block = 2.0 * tokens * widths
    kept = 2.0 * tokens * size.hidden * size.layers + block if plan.checkpointing else block * size.layers
    head = 0.0 if plan.adapters else 4.0 * size.vocabulary * size.hidden  # the head's gradient, summed in float32
    cache = 2.0 * plan.rollouts * plan.tokens * size.layers * size.kv_width * max(1, plan.dtype_bytes // 2)
    gathered = copy if sharded else 0.0
    logits = 4.0 * plan.rollouts * size.vocabulary
    tile = 2.0 * min(tokens, LOGITS_TILE[0]) * min(size.vocabulary, LOGITS_TILE[1])
    training = {"activations": kept, "logits": tile + head}
    generating = {} if plan.vllm != "none" else {"KV cache": cache, "logits": logits, "gathered weights": gathered}
    found["at a time"] = max(sum(training.values()), sum(generating.values()))
    return {
        **found,
        **{f"  training: {name}": value for name, value in training.items()},
        **{f"  generating: {name}": value for name, value in generating.items()},
    }


def total(parts: dict[str, float]) -> float:
    """Sum of [`memory`]'s parts, each counted once."""
    return sum(value for name, value in parts.items() if not name.startswith(" "))


def remedies(size: ModelSize, plan: Plan, gpu_bytes: float) -> list[str]:
    """Settings that would make a run fit, each on its own; if none does, all that are needed together."""
    fewer = min(plan.rollouts, max(plan.micro_batch, 8))
    changes: list[tuple[str, dict[str, Any]]] = [
        ("gradient_checkpointing: true", {"checkpointing": True}),
        (f"steps_per_generation: {fewer // plan.micro_batch} (fewer rollouts at a time)", {"rollouts": fewer}),
        (f"max_tokens_per_pass: {plan.tokens}", {"token_limit": plan.tokens}),
        ("use_vllm: true with vllm_mode: server, on other GPUs", {"vllm": "server"}),
        ("per_device_train_batch_size: 1, with more gradient_accumulation_steps", {"micro_batch": 1}),
    ]
    if plan.processes > 1 and plan.bits == 16:
        changes += [(f"configs/accelerate/{name}.yaml", {"engine": name}) for name in ("zero2", "zero3")]
        offload = {"engine": "zero3", "offload_optimizer": True, "offload_parameters": True}
        changes.append(("configs/accelerate/zero3_offload.yaml", offload))

    def needed(changed: Plan) -> float:
        return total(memory(size, changed, gpu_bytes))

    fits = USABLE_SHARE * gpu_bytes
    alone = [name for name, change in changes if needed(replace(plan, **change)) <= fits]
    if alone:
        return alone
    together: list[str] = []
    for name, change in changes:
        changed = replace(plan, **change)
        if needed(changed) < needed(plan):
            plan, together = changed, [*together, name]
        if needed(plan) <= fits:
            return [" and ".join(together)]
    return []


def describe(size: ModelSize, plan: Plan, gpu_gb: float) -> str:
    """The table of a plan, whether it fits, and what would make it fit."""
    gpu_bytes = gpu_gb * 1e9
    parts = memory(size, plan, gpu_bytes)
    needed = total(parts)
    lines = [
        f"{size.parameters / 1e9:.2f} billion parameters, {plan.engine} on {plan.processes} GPU(s) of {gpu_gb:g} GB; "
        f"{plan.rollouts} rollouts of {plan.tokens} tokens at a time. GB on each GPU, calculated:",
        *(f"  {name:<32}{value / 1e9:9.2f}" for name, value in parts.items()),
        f"  {'total':<32}{needed / 1e9:9.2f} of {USABLE_SHARE * gpu_gb:.1f} usable",
    ]
    if needed <= USABLE_SHARE * gpu_bytes:
        return "\n".join([*lines, "It fits."])
    found = remedies(size, plan, gpu_bytes)
    if not found and not plan.adapters:
        found = ["use_peft: true (LoRA), or more GPUs, larger ones or a smaller model"]
    found = found or ["more GPUs, larger ones or a smaller model"]
    return "\n".join([*lines, "It does not fit. What would help:", *(f"  {line}" for line in found)])

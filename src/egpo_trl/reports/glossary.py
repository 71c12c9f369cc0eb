"""Explains every metric and every reason in one line, for the report of a run and for the reference."""

from collections.abc import Mapping

# Metrics of EGPO, and those of TRL and transformers that a GRPO run logs. The key of a family ends with `*`.
METRICS: Mapping[str, str] = {
    "reward": "mean reward of the rollouts",
    "reward_std": "standard deviation of the rewards",
    "rewards/*": "mean and standard deviation of one reward function",
    "frac_reward_zero_std": "share of groups whose rewards are all equal, which teach nothing",
    "kl": "KL divergence to the reference model, nats per token (only with beta > 0)",
    "entropy": "mean entropy of all generated tokens, nats",
    "egpo/cot_entropy": "mean entropy of the chain-of-thought tokens, nats",
    "egpo/answer_entropy": "mean entropy of all other generated tokens (tags included), nats",
    "egpo/cot_length": "mean number of chain-of-thought tokens, over rollouts that have one",
    "egpo/no_cot_ratio": "share of rollouts without a chain of thought",
    "egpo/bonus": "mean of A_new - A, over chain-of-thought tokens (token level) or rollouts with one (sequence level), "
    "zero-variance groups included",
    "egpo/bonus_clipped_ratio": "share of those with A != 0 whose bonus is cut at |A| / alpha",
    "update/dropped_rows_ratio": "share of rows left out of the loss pass",
    "update/computed_tokens_ratio": "positions computed in the loss pass over those of TRL's padded micro-batches",
    "update/padding_removed_ratio": "share of TRL's padding that was not computed",
    "update/sampling_rounds": "further rounds of generation for a batch (dynamic_sampling_rounds)",
    "update/extra_rollouts_ratio": "rollouts of the further rounds over those of the batch",
    "update/extra_tokens_ratio": "completion tokens of the further rounds over those of the batch as first sampled",
    "update/extra_sampling_time": "seconds that the further rounds took, rewards included",
    "update/dead_groups_ratio": "share of groups without a gradient after the further rounds",
    "exact_match/*": "share of the held-out rows answered right, greedily or at the training temperature (report, "
    "report_steps)",
    "strict_success/*": "the same for rows with a trajectory: share of the rollouts that the trajectory reward finds right",
    "calls/surplus": "mean number of calls of a rollout beyond those of its reference",
    "reason/*": "share of rollouts with a verdict, see the reasons",
    "bfcl/*": "score on a fixed subset of BFCL by its official checkers, between 0 and 1: a category, mean (of the "
    "categories), strict (mean share by the rules of the reward)",
    "reward_errors/*": "share of completions on which a guarded reward failed",
    "completions/mean_length": "mean number of generated tokens",
    "completions/min_length": "fewest generated tokens",
    "completions/max_length": "most generated tokens",
    "completions/clipped_ratio": "share of completions cut off at max_completion_length",
    "completions/mean_terminated_length": "mean length of completions that ended by themselves",
    "completions/min_terminated_length": "shortest completion that ended by itself",
    "completions/max_terminated_length": "longest completion that ended by itself",
    "clip_ratio/*": "share of tokens (or sequences) whose importance ratio is clipped: below, above, either; mean and "
    "extreme over the processes",
    "sampling/*": "difference between the log-probabilities of generation engine and trainer, and the importance "
    "ratios that correct it (vLLM)",
    "tools/call_frequency": "executed tool calls a rollout",
    "tools/failure_frequency": "share of the executed tool calls that failed",
    "tools/not_offered": "share of the tool calls that name a tool which the row does not offer",
    "tools/timeouts": "share of the tool calls that took longer than tool_timeout, or met a tool that still hangs",
    "tools/wrong_types": "share of the tool calls with an argument of another type than the tool's schema declares",
    "tools/truncated": "share of the tool calls whose result is cut at max_tool_result_characters",
    "tools/defused": "share of the turns of tool results that held control tokens or tags, which were broken",
    "cispo_clip_ratio": "share of tokens whose importance ratio is cut (loss_type cispo)",
    "vespo/phi_seq_mean": "mean weight of a sequence (loss_type vespo)",
    "aux_loss": "load-balancing loss of a mixture of experts",
    "policy_loss": "policy loss without the entropy term (TRL's entropy_coef)",
    "entropy_coef": "coefficient of TRL's entropy term",
    "loss": "loss",
    "grad_norm": "norm of the gradient before it is clipped",
    "learning_rate": "learning rate",
    "num_tokens": "tokens of prompts and completions so far",
    "step_time": "seconds a step",
    "epoch": "passes over the training rows",
    "train_loss": "mean loss of the run (its last log)",
    "train_runtime": "seconds of training (last log)",
    "train_samples_per_second": "rollouts a second (last log)",
    "train_steps_per_second": "steps a second (last log)",
    "eval_runtime": "seconds of an evaluation",
    "eval_samples_per_second": "rollouts a second of an evaluation",
    "eval_steps_per_second": "batches a second of an evaluation",
    "total_flos": "floating point operations, where they are counted (last log)",
}

REASONS: Mapping[str, str] = {
    "correct": "worth 1.0",
    "invalid_reference": "the reference of the row cannot be read (only rows that skipped the checks)",
    "invalid_tools": "the tools of the row cannot be read (only rows that skipped the checks)",
    "truncated": "cut off by max_completion_length before the calls were complete, or in the middle of a text",
    "no_think_block": "the completion does not start with a think block",
    "unclosed_think_block": "the block is never closed, though the completion ended by itself",
    "several_think_blocks": "a second block, or a tag inside or after the first",
    "unexpected_think_block": "a block although thinking is off",
    "empty_answer": "nothing after the block",
    "malformed_call": "broken JSON or Python, a repeated argument, a piece of a call in a text, too deep or too long",
    "text_beside_calls": "text before, between or after calls",
    "call_instead_of_text": "well-formed calls where text was right",
    "text_instead_of_call": "text where calls were right",
    "unknown_function": "a function that the row does not offer",
    "missing_call": "too few calls",
    "extra_call": "too many calls",
    "wrong_function": "an offered function, but not the right one",
    "missing_argument": "an argument left out",
    "unexpected_argument": "an argument too many",
    "wrong_type": "an argument with a value of another type",
    "wrong_value": "an argument with another value",
    "forbidden_call": "rollouts: a function that the row forbids",
    "too_many_calls": "rollouts: more calls beyond those of the reference than max_extra_calls allows",
    "unfinished": "rollouts: the last turn is a call, at the turn limit (max_tool_calling_iterations) or where its result "
    "did not fit into max_completion_length",
    "wrong_result": "rollouts: a call of the reference was made, but its result was another (the state had changed)",
    "wrong_state": "rollouts: every call of the reference was made, but the environment ends in another state",
}


def meaning_of(metric: str) -> str | None:
    """Meaning of a metric, by its name in a log."""
    name = metric if metric in METRICS else metric.removeprefix("eval_")
    if name in METRICS:
        return METRICS[name]
    family, _, member = name.partition("/")
    if family == "reason" and member in REASONS:
        return f"share of rollouts: {REASONS[member]}"
    return METRICS.get(f"{family}/*")

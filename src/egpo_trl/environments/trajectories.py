"""Rows with a reference trajectory: checking them, and training on them step by step.

The same rows serve both ways: rollouts with executed tools, and single steps with the history as prompt (the way of the
paper). A trajectory row is a canonical row with an `environment`, what its `reset` reads, and a `trajectory`.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..tool_calls.calls import ToolCall, parse_tools
from .protocol import offered_schemas
from .replay import parse_forbidden, parse_trajectory, replay

Factories = Mapping[Any, Callable[[], Any]]

logger = logging.getLogger(__name__)

_MAX_NAMED = 5


def trajectory_problem(row: Mapping[str, Any], index: int, environments: Factories) -> str | None:
    """
    What is wrong with a trajectory row, found by executing its reference.

    Args:
        row (`Mapping[str, Any]`):
            The row.
        index (`int`):
            Its position, for the message.
        environments (`Mapping[str, Callable]`):
            Factories by the name that rows give; `{None: factory}` where rows name none, as TRL has it.

    Returns:
        `str` or `None`:
            A sentence that names the row and the field, or `None` for a row in order.
    """
    row_id = f" (id {row['id']!r})" if row.get("id") is not None else ""
    name = None if None in environments else row.get("environment")
    if name not in environments:
        return f"row {index}{row_id}, field 'environment': {name!r} is none of {list(environments)}"
    try:
        replay(environments[name], row)
        offered = None if row.get("tools") is None else parse_tools(row["tools"])
        called = [call.name for step in parse_trajectory(row["trajectory"]) for call in step]
    except Exception as error:  # an environment may refuse a row with any error
        return f"row {index}{row_id}, field 'trajectory': {error}"
    hidden = [call for call in called if offered is not None and call not in offered]
    if hidden:
        return f"row {index}{row_id}, field 'trajectory': {hidden[0]!r} is not among its tools"
    try:
        forbidden = parse_forbidden(row.get("forbidden"))
    except ValueError as error:
        return f"row {index}{row_id}, field 'forbidden': {error}"
    refused = [call for call in called if call in forbidden]
    return f"row {index}{row_id}, field 'forbidden': its trajectory calls {refused[0]!r}" if refused else None


def check_trajectories(rows: Iterable[Mapping[str, Any]], name: str, environments: Factories) -> None:
    """
    Execute the reference of every row once, so that none turns out to be wrong in the middle of a run.

    Args:
        rows (`Iterable[Mapping[str, Any]]`):
            Trajectory rows.
        name (`str`):
            What to call them in the message.
        environments (`Mapping[str, Callable]`):
            Factories by the name that rows give.

    Raises:
        ValueError: If a row is malformed; the message names up to five.
    """
    found = [problem for at, row in enumerate(rows) if (problem := trajectory_problem(row, at, environments))]
    if found:
        shown = "\n  ".join(found[:_MAX_NAMED])
        raise ValueError(
            f"{name} has {len(found)} rows that cannot be replayed, such as:\n  {shown}\nMend or drop them."
        )


def check_trajectory_datasets(train: Any, evaluation: Any, environment_factory: Any) -> tuple[Any, Any]:
    """
    Check the data sets of a trainer whose reward judges trajectories: rows in memory at once, those of a stream when it
    reaches them.

    Args:
        train ([`~datasets.Dataset`] or [`~datasets.IterableDataset`], *optional*):
            Training rows.
        evaluation ([`~datasets.Dataset`], [`~datasets.IterableDataset`] or `dict` of them, *optional*):
            Rows to evaluate on.
        environment_factory (`Callable` or `dict`):
            What the trainer makes environments with.

    Returns:
        `tuple`:
            Both, with streams that skip malformed rows, each with a warning.

    Raises:
        ValueError: If there is no environment, or a row in memory cannot be replayed.
    """
    from datasets import Dataset, IterableDataset

    if not environment_factory:
        raise ValueError(
            "TrajectoryReward judges the state of environments. Hand the trainer an `environment_factory`, or reward "
            "single steps with ToolCallReward."
        )
    environments = environment_factory if isinstance(environment_factory, dict) else {None: environment_factory}

    def is_good(row: Mapping[str, Any], index: int, name: str) -> bool:
        problem = trajectory_problem(row, index, environments)
        if problem is not None:
            logger.warning("%s: skipped %s", name, problem)
        return problem is None

    def check(dataset: Any, name: str) -> Any:
        if isinstance(dataset, dict):
            return type(dataset)({key: check(value, f"{name}[{key!r}]") for key, value in dataset.items()})
        if isinstance(dataset, IterableDataset):
            return dataset.filter(is_good, with_indices=True, fn_kwargs={"name": name})
        if isinstance(dataset, Dataset):
            check_trajectories(dataset, name, environments)
        return dataset

    return check(train, "train_dataset"), check(evaluation, "eval_dataset")


def step_messages(calls: Sequence[ToolCall], results: Sequence[str]) -> list[dict[str, Any]]:
    """
    One step of a conversation as messages, with the arguments as JSON strings, as rows hold them.

    Args:
        calls (`Sequence[ToolCall]`):
            Calls of the step.
        results (`Sequence[str]`):
            What they gave.

    Returns:
        `list[dict]`:
            A turn of the assistant and the tool results.
    """
    tool_calls = [
        {"type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in calls
    ]
    told = [
        {"role": "tool", "name": call.name, "content": result} for call, result in zip(calls, results, strict=True)
    ]
    return [{"role": "assistant", "content": "", "tool_calls": tool_calls}, *told]


def stepwise_rows(rows: Iterable[Mapping[str, Any]], environments: Factories) -> Iterator[dict[str, Any]]:
    """
    One canonical row for each step of each trajectory: the history is the prompt, the step's calls are the reference.

    Args:
        rows (`Iterable[Mapping[str, Any]]`):
            Trajectory rows.
        environments (`Mapping[str, Callable]`):
            Factories by the name that rows give.

    Yields:
        `dict`:
            Rows for [`ToolCallReward`], with `#1`, `#2`, … behind the id, and the `kind` where there is one.

    Raises:
        ValueError: If a row cannot be replayed.
    """
    for index, row in enumerate(rows):
        problem = trajectory_problem(row, index, environments)
        if problem is not None:
            raise ValueError(problem)
        factory = environments[None if None in environments else row["environment"]]
        results = replay(factory, row).results
        tools = json.dumps(offered_schemas(factory(), row.get("tools")))
        history = list(row["prompt"])
        for at, (calls, told) in enumerate(zip(parse_trajectory(row["trajectory"]), results, strict=True), 1):
            reference = [call._asdict() for call in calls]
            kept = {name: row[name] for name in ("source", "kind") if row.get(name) is not None}
            yield {
                "prompt": list(history),
                "tools": tools,
                "reference": json.dumps(reference),
                "id": f"{row.get('id', index)}#{at}",
                **kept,
            }
            history += step_messages(calls, told)

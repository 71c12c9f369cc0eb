"""Checks the data sets of a trainer: each row once, whatever the number of processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset, IterableDataset

from ..data.rows import BadRows, Check, check_columns, find_bad_rows, skip_bad_rows

_IMAGES = ("image", "images")  # columns that no check reads


@dataclass(frozen=True)
class RowChecks:
    """Checks of rows that need some columns, and what happens to rows that do not pass."""

    required: Sequence[str]
    checks: Sequence[Check]
    bad_rows: str

    def __call__(self, name: str, dataset: Any) -> Any:
        """The rows that are left of a data set in memory; a stream as it is."""
        if not isinstance(dataset, (Dataset, IterableDataset)):
            return dataset  # TRL says what it takes
        check_columns(dataset, name, self.required)
        if isinstance(dataset, IterableDataset):
            return dataset
        state = PartialState()
        share = (state.process_index, state.num_processes)
        columns = [column for column in dataset.column_names if column not in _IMAGES]
        shares = gather_object([find_bad_rows(dataset, self.required, self.checks, columns, share)])
        found = {position: problem for one in shares for position, problem in one.items()}
        return BadRows(name, len(dataset), found).apply(dataset, self.bad_rows)

    def of_stream(self, name: str, dataset: Any) -> Any:
        """A stream without its bad rows; anything else as it is."""
        if not isinstance(dataset, IterableDataset):
            return dataset
        return skip_bad_rows(dataset, name, self.required, () if self.bad_rows == "keep" else self.checks)

    def of_trainer(self, train: Any, evaluation: Any) -> tuple[Any, Any]:
        """Both data sets of a trainer, with the rows that are left."""
        if isinstance(evaluation, dict):
            left = {key: self(f"eval_dataset[{key!r}]", value) for key, value in evaluation.items()}
            is_whole = all(left[key] is value for key, value in evaluation.items())
            return self("train_dataset", train), evaluation if is_whole else type(evaluation)(left)
        return self("train_dataset", train), self("eval_dataset", evaluation)


def named_datasets(train: Any, evaluation: Any) -> dict[str, Any]:
    """The data sets of a trainer by their names in messages."""
    named = {"train_dataset": train}
    if isinstance(evaluation, dict):
        named |= {f"eval_dataset[{key!r}]": value for key, value in evaluation.items()}
    else:
        named["eval_dataset"] = evaluation
    return {name: dataset for name, dataset in named.items() if dataset is not None}

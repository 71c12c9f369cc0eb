"""Which rows and columns are computed, by hand and against brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from egpo_trl.grpo.compact_forward import compact_forward, padded_length, token_spans
from egpo_trl.grpo.live_rows import (
    blank_rows,
    check_scored,
    even_runs,
    live_rows,
    loss_mask,
    micro_batch_order,
    sort_micro_batches,
)
from egpo_trl.grpo.update_options import UpdateOptions

ALL = UpdateOptions(trim_completions=True, trim_prompts=True, drop_zero_advantages=True, sort_by_length=True)


def batch_of(spans: list[tuple[int, int]], extra: tuple[int, int] = (0, 0)) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Ids that name their row and token, the mask, and the completion width, for (prompt, completion) lengths."""
    prompt_width, width = max(p for p, _ in spans) + extra[0], max(1, max(c for _, c in spans)) + extra[1]
    ids = torch.zeros(len(spans), prompt_width + width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, completion) in enumerate(spans):
        columns = slice(prompt_width - prompt, prompt_width + completion)
        ids[row, columns] = torch.arange(1, prompt + completion + 1) + 100 * row
        mask[row, columns] = 1
    return ids, mask, width


def echo(calls: list[tuple[int, int]] | None = None):
    """A forward pass whose log-probability is the token id and whose entropy is twice that, 0 at padding."""

    def forward(ids, mask, keep):
        if calls is not None:
            calls.append(tuple(ids.shape))
        values = (ids * mask)[:, -keep:].float()
        return values, 2 * values, values.sum()

    return forward


def test_a_live_row_has_an_advantage_and_a_token():
    mask = torch.tensor([[1, 1], [1, 0], [0, 0], [0, 1]])
    assert live_rows(torch.tensor([1.0, 0.0, 2.0, -1e-9]), mask).tolist() == [True, False, False, True]
    per_token = torch.tensor([[0.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-0.0, 0.0]])
    assert live_rows(per_token, mask).tolist() == [False, True, False, False]
    assert live_rows(torch.tensor([float("nan")]), mask[:1]).tolist() == [True]  # not hidden


def test_dropped_rows_have_log_probability_0_under_every_policy():
    inputs = {
        "old_per_token_logps": torch.tensor([[-3.0], [-200.0]]), "ref_per_token_logps": None, "advantages": 1,
        "importance_sampling_ratio": torch.tensor([[0.5], [0.2]]),
    }  # fmt: skip
    blanked = blank_rows(inputs, torch.tensor([False, True]))
    assert {name: value.tolist() for name, value in blanked.items()} == {
        "old_per_token_logps": [[-3.0], [0.0]],
        "importance_sampling_ratio": [[0.5], [1.0]],
    }
    assert inputs["old_per_token_logps"][1, 0] == -200.0


def test_rows_that_nobody_scored_are_an_error():
    nan = float("nan")
    logps = torch.tensor([[-1.0, -1.0], [-1.0, 0.0], [-1.0, -1.0]])
    inputs = {"completion_mask": torch.tensor([[1, 1], [1, 0], [1, 1]])}
    live = torch.tensor([True, True, False])
    check_scored(inputs, live, logps)
    inputs["old_per_token_logps"] = torch.tensor([[-1.0, -1.0], [-1.0, nan], [nan, nan]])  # padding and a dropped row
    check_scored(inputs, live, logps)
    inputs["ref_per_token_logps"] = torch.tensor([[nan, nan], [nan, nan], [-1.0, -1.0]])
    with pytest.raises(RuntimeError, match=r"Rows \[0, 1\] .* had none when .* ref_per_token_logps .*'never'"):
        check_scored(inputs, live, logps)
    check_scored(inputs, live, torch.full_like(logps, nan))  # the policy itself has diverged


def test_tokens_in_the_loss():
    mask = torch.tensor([[1, 1, 0]])
    assert loss_mask({"completion_mask": mask}).tolist() == [[1, 1, 0]]
    assert loss_mask({"completion_mask": mask, "tool_mask": torch.tensor([[0, 1, 1]])}).tolist() == [[0, 1, 0]]


@given(st.lists(st.integers(), max_size=20), st.integers(1, 7))
def test_even_runs(rows, num_runs):
    runs = even_runs(rows, num_runs)
    assert [row for run in runs for row in run] == rows
    assert len(runs) == num_runs
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


def test_order_by_hand():
    lengths = [5, 9, 1, 7, 3, 8]
    assert micro_batch_order(lengths, [True] * 6, 3) == [1, 5, 3, 0, 4, 2]
    # live rows 1, 3, 4 and 2: two for each micro-batch, filled up with 0 and 5
    assert micro_batch_order(lengths, [False, True, True, True, True, False], 2) == [1, 3, 0, 4, 2, 5]
    assert micro_batch_order(lengths, [False] * 6, 2) == [0, 1, 2, 3, 4, 5]


@given(st.data())
@settings(deadline=None)
def test_order_is_a_permutation_with_live_rows_spread_and_sorted(data):
    parts = data.draw(st.integers(1, 5))
    count = parts * data.draw(st.integers(1, 6))
    lengths = data.draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    live = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    order = micro_batch_order(lengths, live, parts)
    assert sorted(order) == list(range(count))
    micro_batches = [[row for row in part if live[row]] for part in even_runs(order, parts)]
    assert max(map(len, micro_batches)) - min(map(len, micro_batches)) <= 1
    flat = [lengths[row] for part in micro_batches for row in part]
    assert flat == sorted(flat, reverse=True)


def make_micro_batches(count: int, size: int) -> list[dict]:
    torch.manual_seed(count + size)
    batches = []
    for index in range(count):
        spans = [(int(torch.randint(1, 5, ())), int(torch.randint(0, 9, ()))) for _ in range(size)]
        ids, mask, width = batch_of([*spans, (4, 8)])
        batches.append(
            {
                "prompt_ids": ids[:size, :-width], "prompt_mask": mask[:size, :-width],
                "completion_ids": ids[:size, -width:] + 1000 * index, "completion_mask": mask[:size, -width:],
                "advantages": torch.randint(-1, 2, (size,)).float(), "names": [f"{index}.{row}" for row in range(size)],
                "num_items_in_batch": torch.tensor(77), "nothing": None,
            }
        )  # fmt: skip
    return batches


@pytest.mark.parametrize("drop", [True, False])
def test_sorting_keeps_rows_whole_and_in_their_step(drop):
    batches = make_micro_batches(6, 4)
    before = [dict(batch.items()) for batch in batches]
    result = sort_micro_batches(batches, 3, drop)
    assert all(batches[i][name] is before[i][name] for i in range(6) for name in before[i])
    for start in (0, 3):
        original = {
            name: (batch["prompt_ids"][row], batch["completion_ids"][row], batch["advantages"][row])
            for batch in batches[start : start + 3]
            for row, name in enumerate(batch["names"])
        }
        seen = {}
        for batch in result[start : start + 3]:
            assert len(batch["advantages"]) == 4
            assert batch["num_items_in_batch"] == 77
            assert batch["nothing"] is None
            for row, name in enumerate(batch["names"]):
                seen[name] = (batch["prompt_ids"][row], batch["completion_ids"][row], batch["advantages"][row])
        assert seen.keys() == original.keys()
        assert all(torch.equal(a, b) for name in seen for a, b in zip(seen[name], original[name], strict=True))


def test_nothing_to_exchange():
    batches = make_micro_batches(2, 4)
    assert sort_micro_batches(batches, 1, True) is batches
    even = [{**batch, "advantages": torch.ones(4)} for batch in make_micro_batches(2, 4)]
    for batch in even:
        batch["prompt_mask"], batch["completion_mask"] = (torch.ones(4, width) for width in (4, 8))
    assert all(a is b for a, b in zip(sort_micro_batches(even, 2, True), even, strict=True))
    images = [{**batch, "num_images": [1] * 4} for batch in batches]
    assert sort_micro_batches(images, 2, True) is images


@pytest.mark.parametrize(
    ("length", "limit", "multiple", "expected"),
    [(3, 9, 1, 3), (0, 9, 1, 1), (3, 9, 4, 4), (9, 9, 4, 9), (0, 8, 4, 4), (8, 8, 8, 8)],
)
def test_padded_length(length, limit, multiple, expected):
    assert padded_length(length, limit, multiple) == expected


def test_spans_by_hand():
    _, mask, width = batch_of([(2, 3), (4, 0), (1, 5)], extra=(2, 1))
    assert token_spans(mask, width).tolist() == [[2, 3], [4, 0], [1, 5]]


def test_one_call_runs_on_its_own_columns():
    ids, mask, width = batch_of([(2, 3), (1, 5), (4, 1)], extra=(3, 2))
    calls: list[tuple[int, int]] = []
    live = torch.tensor([True, True, False])
    (logps, entropies, aux_loss), work = compact_forward(echo(calls), ids, mask, width, ALL, live)
    assert calls == [(2, 2 + 5)]
    assert (work.rows, work.positions, work.tokens) == (2, 14, 11)
    expected = (ids * mask)[:, -width:].float()
    expected[2] = 0
    assert torch.equal(logps, expected)
    assert torch.equal(entropies, 2 * expected)
    assert aux_loss == expected.sum()


def test_nothing_to_leave_out_hands_the_batch_on():
    ids, mask, width = batch_of([(3, 2), (3, 2)])

    def forward(given_ids, given_mask, keep):
        assert (given_ids.data_ptr(), given_mask.data_ptr(), keep) == (ids.data_ptr(), mask.data_ptr(), 2)
        return torch.ones(2, 2), None, None

    (logps, entropies, aux_loss), _ = compact_forward(forward, ids, mask, width, ALL)
    assert entropies is None
    assert aux_loss is None
    assert logps.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("multiple", [None, 4])
def test_without_a_live_row_two_tokens_keep_the_graph(multiple):
    ids, mask, width = batch_of([(6, 7), (5, 2)], extra=(2, 1))
    weight = torch.ones((), requires_grad=True)
    calls = []

    def forward(ids, mask, keep):
        calls.append(tuple(ids.shape))
        values = weight * (ids * mask)[:, -keep:].float()
        return values, values, None

    (logps, entropies, _), work = compact_forward(
        forward, ids, mask, width, ALL, torch.zeros(2, dtype=torch.bool), pad_to_multiple_of=multiple
    )
    assert calls == [(1, 2 * (multiple or 1))]
    assert (work.rows, work.tokens) == (0, 0)
    assert not logps.any()
    assert not entropies.any()
    logps.sum().backward()
    assert weight.grad == 0.0


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_batch_equals_the_full_forward(data):
    spans = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=9))
    extra = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    live = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans))))
    num_calls = data.draw(st.integers(1, len(spans)))
    options = UpdateOptions(*data.draw(st.tuples(*[st.booleans()] * 4)))
    multiple = data.draw(st.sampled_from([None, 2, 4]))
    ids, mask, width = batch_of(spans, extra)
    calls: list[tuple[int, int]] = []
    (logps, entropies, _), work = compact_forward(
        echo(calls), ids, mask, width, options, live, num_calls, pad_to_multiple_of=multiple
    )
    expected = (ids * mask)[:, -width:].float() * live.unsqueeze(1)
    assert torch.equal(logps, expected)
    assert torch.equal(entropies, 2 * expected)
    assert len(calls) == num_calls  # whatever is live: alike on every process
    assert all(rows <= -(-len(spans) // num_calls) and columns <= ids.shape[1] for rows, columns in calls)
    assert work.positions == sum(rows * columns for rows, columns in calls)
    assert work.tokens == int((mask * live.unsqueeze(1)).sum())

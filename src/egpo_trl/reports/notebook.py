"""Shows a run inside a notebook: its report, and completions before and after training."""

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

from .before_after import pick_samples
from .html_page import page_text, render
from .html_report import read_files, report_context

if TYPE_CHECKING:
    from IPython.display import HTML

_INLINE_BUDGET = 120_000  # characters of rollouts: a notebook keeps what it shows


def show_report(run: str | Path, height: int = 720) -> "HTML":
    """
    The report of a run inside a notebook, as interactive as in a browser, with fewer of its rollouts.

    Args:
        run (`str` or `Path`):
            Output folder of the run.
        height (`int`, *optional*, defaults to `720`):
            Height in pixels.

    Returns:
        [`~IPython.display.HTML`]:
            What the last line of a cell shows.
    """
    from IPython.display import HTML

    page = html.escape(page_text(report_context(read_files(Path(run)), _INLINE_BUDGET)), quote=True)
    frame = f'<iframe srcdoc="{page}" style="width: 100%; height: {int(height)}px; border: 0"></iframe>'
    return HTML(f"<div>{frame}</div>")  # type: ignore[no-untyped-call]


def show_completions(run: str | Path, count: int = 3) -> "HTML":
    """
    Completions of held-out rows before and after training, each token of the chain of thought shaded by its entropy.

    Args:
        run (`str` or `Path`):
            Output folder of a finished run that measured its held-out rows.
        count (`int`, *optional*, defaults to `3`):
            How many rows: those that training put right first.

    Returns:
        [`~IPython.display.HTML`]:
            What the last line of a cell shows.

    Raises:
        ValueError: If the run measured no held-out rows.
    """
    from IPython.display import HTML

    files = read_files(Path(run))
    if not files.before or not files.after:
        raise ValueError(
            f"{run} holds no before.json and after.json. Train with report: true, or add a HeldOutCallback."
        )
    indices = pick_samples(files.before["greedy"], files.after["greedy"], count)
    wanted = {f"{files.name}/held-out row {index + 1}" for index in indices}
    items = [item for item in files.rollouts(10**9) if item["group"] in wanted]
    items.sort(key=lambda item: indices.index(int(item["group"].rpartition(" ")[2]) - 1))
    entropies = [
        entropy for item in items for _, tokens in item["turns"] for _, entropy in tokens if entropy is not None
    ]
    context = {"items": json.loads(json.dumps(items)), "largest": max(entropies, default=0.0)}
    return HTML(render("completions.html.jinja", context))  # type: ignore[no-untyped-call]

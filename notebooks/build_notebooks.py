"""Builds the notebooks from their sources.

`python notebooks/build_notebooks.py` writes notebooks/*.ipynb from notebooks/src/*.py (jupytext, percent format): it
adds the Colab badge and the cell that installs the package, and keeps the saved outputs of notebooks with unchanged code.
`python notebooks/build_notebooks.py --execute NAME …` runs notebooks and saves their outputs.

Where the repository lies is read from one line, `Repository` in pyproject.toml.
"""

import argparse
import copy
import os
import tempfile
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent
SOURCES = sorted((NOTEBOOKS / "src").glob("*.py"))
REPOSITORY = tomllib.loads((NOTEBOOKS.parent / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
BRANCH = "main"
_WIDGET = "application/vnd.jupyter.widget-view+json"

_INSTALL = """\
# Installs egpo-trl where it is missing, as in a fresh Colab session. Elsewhere it does nothing.
import importlib.util

if importlib.util.find_spec("egpo_trl") is None:
    %pip install -q "egpo-trl{extras} @ git+{repository}"
"""


def badge(name: str) -> str:
    """Markdown of the badge that opens a notebook in Colab."""
    place = REPOSITORY.removeprefix("https://github.com/")
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    target = f"https://colab.research.google.com/github/{place}/blob/{BRANCH}/notebooks/{name}.ipynb"
    return f"[![Open in Colab]({image})]({target})"


def build(source: Path) -> NotebookNode:
    """
    Notebook of a source, without outputs.

    Args:
        source (`Path`):
            File in percent format. Its `egpo` metadata say whether it is `executed` here, which `extras` of the package
            it installs, and the `accelerator` that Colab is asked for.

    Returns:
        `NotebookNode`
    """
    notebook = jupytext.read(source)
    settings = notebook.metadata.get("egpo", {})
    title, _, text = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n{badge(source.stem)}\n{text}"
    install = _INSTALL.format(extras=settings.get("extras", ""), repository=REPOSITORY)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(install.rstrip()))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{number}"
        cell.metadata = NotebookNode()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "egpo": settings,
        }
    )
    if "accelerator" in settings:
        notebook.metadata |= {"accelerator": settings["accelerator"], "colab": {"gpuType": "T4"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: NotebookNode, folder: Path, timeout: int = 1800) -> NotebookNode:
    """Run a notebook in a folder; raises [`~nbclient.exceptions.CellExecutionError`] where a cell fails."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=timeout, resources=resources, record_timing=False, coalesce_streams=True)
    metadata = copy.deepcopy(notebook.metadata)
    executed: NotebookNode = client.execute(env={**os.environ, "TQDM_DISABLE": "1"})
    executed.metadata = metadata  # the kernel adds its version
    return executed


def code(notebook: NotebookNode) -> list[str]:
    """Sources of the code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def _drop_bars(notebook: NotebookNode) -> None:
    """Leave out progress bars: widgets would be saved as they stood at the beginning, others say what the logs say."""

    def is_bar(output: NotebookNode) -> bool:
        data = output.get("data", {})
        return _WIDGET in data or "<progress" in data.get("text/html", "")

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]


def _keep_outputs(notebook: NotebookNode, old: NotebookNode) -> None:
    if code(notebook) == code(old):
        saved = iter([cell for cell in old.cells if cell.cell_type == "code"])
        for cell in notebook.cells:
            if cell.cell_type == "code":
                before = next(saved)
                cell.outputs, cell.execution_count = before.outputs, before.execution_count


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the notebooks from their sources.")
    parser.add_argument("--execute", nargs="*", metavar="NAME", default=[], help="notebooks to run, by name")
    options = parser.parse_args()
    unknown = set(options.execute) - {source.stem for source in SOURCES}
    if unknown:
        parser.error(f"there is no notebook {sorted(unknown)}")
    for source in SOURCES:
        path = NOTEBOOKS / f"{source.stem}.ipynb"
        notebook = build(source)
        if source.stem in options.execute:
            with tempfile.TemporaryDirectory() as folder:
                notebook = execute(notebook, Path(folder))
        elif path.exists():
            _keep_outputs(notebook, nbformat.read(path, as_version=4))
        _drop_bars(notebook)
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()

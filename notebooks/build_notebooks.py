"""Builds the notebooks from their sources.

`python notebooks/build_notebooks.py` writes notebooks/*.ipynb from notebooks/src/*.py (jupytext, percent format): it
adds the cell that installs the package and keeps the saved outputs of notebooks with unchanged code. It writes the table of
notebooks in the README too.
`python notebooks/build_notebooks.py --execute NAME …` runs notebooks and saves their outputs.

Badges for Colab are added once pyproject.toml says where the repository lies.
"""

import argparse
import copy
import os
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent
sys.path.insert(0, str(NOTEBOOKS.parent / "scripts"))

from repository import address, badge  # noqa: E402

SOURCES = sorted((NOTEBOOKS / "src").glob("*.py"))
README = NOTEBOOKS.parent / "README.md"
_WIDGET = "application/vnd.jupyter.widget-view+json"

_TABLE = re.compile("(<!-- notebooks -->\n).*?(<!-- end of notebooks -->)", re.DOTALL)


def install_cell(extras: str, repository: str) -> str:
    """Source of the cell that installs the package with some extras."""
    text = (NOTEBOOKS / "install_cell.py").read_text(encoding="utf-8")
    return text.replace('"EXTRAS"', f'"{extras}"').replace('"REPOSITORY"', f'"{repository}"').rstrip()


def readme_table(readme: str, repository: str) -> str:
    """The README with its table of notebooks, from their metadata, with badges where there is a repository."""
    rows = ["| notebook | on | shows |" + " |" * bool(repository), "|---|---|---|" + "---|" * bool(repository)]
    for source in SOURCES:
        about = jupytext.read(source).metadata["egpo"]
        row = f"| [{source.stem}](notebooks/{source.stem}.ipynb) | {about['machine']} | {about['shows']} |"
        rows.append(row + f" {badge(source.stem, repository)} |" * bool(repository))
    return _TABLE.sub(lambda match: match[1] + "\n".join(rows) + "\n" + match[2], readme)


def build(source: Path, repository: str | None = None) -> NotebookNode:
    """
    Notebook of a source, without outputs.

    The `egpo` metadata of a source say whether it is `executed` here, the `machine` that it needs, what it `shows`, which
    `extras` of the package it installs, and the `accelerator` that Colab is asked for.
    """
    repository = address() if repository is None else repository
    notebook = jupytext.read(source)
    settings = notebook.metadata.get("egpo", {})
    title, _, text = notebook.cells[0].source.partition("\n")
    shown = badge(source.stem, repository)
    notebook.cells[0].source = f"{title}\n\n{shown}\n{text}" if shown else f"{title}\n{text}"
    notebook.cells.insert(1, nbformat.v4.new_code_cell(install_cell(settings.get("extras", ""), repository)))
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
    """Leave out progress bars and widgets, which need a kernel; the table of a training stays, without its bar."""

    def is_bar(output: NotebookNode) -> bool:
        data = output.get("data", {})
        page = data.get("text/html", "")
        if "<progress" in page and "<table" in page:
            data["text/html"] = page[page.index("<table") :]
            return False
        return _WIDGET in data or "<progress" in page

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
    README.write_text(readme_table(README.read_text(encoding="utf-8"), address()), encoding="utf-8")


if __name__ == "__main__":
    main()

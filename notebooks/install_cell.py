# Installs egpo-trl where it is missing: from a clone, a wheel, a repository or an index, whichever is found first.
import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def sources(extras="EXTRAS", repository="REPOSITORY"):
    """What pip can install egpo-trl from, in the order in which it is tried."""
    here = Path.cwd()
    for folder in (here, *here.parents, here / "egpo-trl"):
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file() and 'name = "egpo-trl"' in pyproject.read_text(encoding="utf-8"):
            yield "the clone", f"{folder}{extras}"
    for folder in (here, Path("/content"), Path("/content/drive/MyDrive")):
        for wheel in sorted(folder.glob("egpo_trl-*.whl"), reverse=True):
            yield "the wheel", f"{wheel}{extras}"
    if repository:
        yield "the repository", f"egpo-trl{extras} @ git+{repository}"
    yield "the package index", f"egpo-trl{extras}"


def install():
    loaded = {
        name: module.__version__ for name, module in sys.modules.items() if name in ("numpy", "torch", "pyarrow")
    }
    for name, source in sources():
        if subprocess.run([sys.executable, "-m", "pip", "install", "-q", source]).returncode == 0:
            print(f"egpo-trl {version('egpo-trl')}, from {name}")
            if any(version(name) != old.split("+")[0] for name, old in loaded.items()):
                print("Newer versions of loaded libraries came along: Runtime → Restart session, then run all cells.")
            return
    raise RuntimeError(
        "egpo-trl could not be installed. Make a wheel in a clone (pip wheel --no-deps .), upload egpo_trl-*.whl into this "
        "folder (in Colab: Files, the folder symbol on the left), and run this cell again."
    )


if importlib.util.find_spec("egpo_trl") is None:
    install()

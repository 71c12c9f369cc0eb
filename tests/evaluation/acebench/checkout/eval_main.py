"""Stand-in for the official scorer of the tests: the same files and layout, rules of its own."""

import argparse
import json
from pathlib import Path

from category import CATEGORIES
from model_eval.checker import normal_checker
from model_eval.evaluation_helper import write_table
from model_eval.utils import read_lines, write_lines
from model_inference.utils import decode_ast


def check(category, question, answer, truth, model):
    """Whether an answer is right, and the line that the score file gets."""
    if category.startswith("special"):
        wanted = [truth] if isinstance(truth, str) else [value for values in truth.values() for value in values]
        missed = [value for value in wanted if value not in answer]
        return not missed, missed and "error_detection"
    try:
        calls = decode_ast(model, "".join(answer.split()))
    except Exception:
        return False, "wrong_output_format"
    first = None
    for reference in truth if isinstance(truth, list) else [truth]:
        found = normal_checker(question["function"], calls, reference, question["question"], category)
        if found["valid"]:
            return True, first
        first = first or found["error_type"]
    return False, first


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--language")
    parser.add_argument("--model", nargs="+")
    parser.add_argument("--category", nargs="+")
    options = parser.parse_args()
    model, language = options.model[0], options.language
    data = Path(f"data_all/data_{language}")
    scores = Path(f"score_all/score_{language}")
    accuracies = {}
    for category in options.category:
        assert category in CATEGORIES
        questions = read_lines(data / f"data_{category}.json")
        answers = read_lines(data / "possible_answer" / f"data_{category}.json")
        results = read_lines(f"result_all/result_{language}/{model}/data_{category}_result.json")
        assert [q["id"] for q in questions] == [r["id"] for r in results]
        units, lines, correct = {}, [], 0
        for question, answer, result in zip(questions, answers, results, strict=True):
            right, error = check(category, question, result["result"], answer["ground_truth"], model)
            correct += right
            if error and not (right and "multi_turn" in category):  # lists what matched the second reference only
                lines.append({"id": question["id"], "valid": False, "error": [error], "error_type": error})
            unit = question["id"].rsplit("_", 1)[0] if "multi_turn" in category else question["id"]
            units[unit] = units.get(unit, True) and right
        accuracies[category] = round(sum(units.values()) / len(units), 3)
        head = {"accuracy": accuracies[category], "correct_count": correct, "total_count": len(questions)}
        write_lines(scores / model / f"data_{category}_score.json", [head, *lines])
        print(json.dumps(head))
    write_table(scores / "result.xlsx", model, accuracies)


if __name__ == "__main__":
    main()

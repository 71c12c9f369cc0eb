"""A process that holds instances of BFCL's official API classes: one request and one answer a line, as JSON.

Run as `python -P bfcl_worker.py`, with BFCL_PROJECT_ROOT set to a folder that importing the package may write to.
"""

import copy
import importlib
import json
import sys
from typing import Any

SOURCES = {
    "GorillaFileSystem": "gorilla_file_system", "MathAPI": "math_api", "MessageAPI": "message_api",
    "TwitterAPI": "posting_api", "TicketAPI": "ticket_api", "TradingBot": "trading_bot", "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}  # fmt: skip
_INSTANCES: dict[str, dict[str, Any]] = {}


def reset(key: str, classes: list[str], config: dict[str, Any]) -> None:
    """Fresh instances of some classes, loaded as the official executor loads them."""
    _INSTANCES[key] = {}
    for name in classes:
        module = importlib.import_module(f"bfcl_eval.eval_checker.multi_turn_eval.func_source_code.{SOURCES[name]}")
        instance = _INSTANCES[key][name] = getattr(module, name)()
        if name != "MathAPI":
            instance._load_scenario(copy.deepcopy(config.get(name, {})), long_context=False)


def call(key: str, name: str, arguments: dict[str, Any]) -> str:
    """Result of a method as text, as the official executor writes it."""
    method = next(getattr(one, name) for one in _INSTANCES[key].values() if hasattr(one, name))
    try:
        result = method(**arguments)
    except Exception as error:
        return f"Error during execution: {error}"
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except TypeError:
            return str(result)
    return str(result)


def state(key: str) -> Any:
    """Public attributes of the instances, which is what the official state check compares."""
    return {name: _plain(instance) for name, instance in _INSTANCES[key].items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if hasattr(value, "__dict__"):  # files and directories; a parent would lead back up
        return {name: _plain(item) for name, item in vars(value).items() if name[0] != "_" and name != "parent"}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def check(entry: dict[str, Any], turns: Any, truth: Any, model: str) -> bool:
    """Verdict of the official multi-turn checker."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    return bool(multi_turn_checker(turns, truth, entry, "multi_turn_base", model)["valid"])


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # official code prints
    for line in sys.stdin:
        request = json.loads(line)
        value = {"reset": reset, "call": call, "state": state, "check": check}[request.pop("do")](**request)
        print(json.dumps(value), file=answers, flush=True)

"""Stand-in of the tests: one call, equal arguments; raises on an answer without arguments where some are wanted."""

import re


def normal_checker(functions, answer, reference, question, category):
    ((name, wanted),) = reference.items()
    name = re.sub(r"_\d+$", "", name)
    if len(answer) != 1:
        return {"valid": False, "error": ["number of calls"], "error_type": "wrong functions number"}
    ((given_name, given),) = answer[0].items()
    if given_name != name:
        return {"valid": False, "error": ["name"], "error_type": "function_mismatch"}
    next(iter(given))  # a defect: StopIteration for a call without arguments
    valid = {key: str(value).replace(" ", "") for key, value in given.items()} == {
        key: str(value).replace(" ", "") for key, value in wanted.items()
    }
    return {"valid": valid, "error": [], "error_type": "" if valid else "value_error"}

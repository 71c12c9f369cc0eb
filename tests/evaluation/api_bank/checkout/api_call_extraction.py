"""Stand-in of the tests."""

import re


def parse_api_call(text):
    found = re.fullmatch(r"\[(\w+)\((.*)\)\]", text)
    return found[1], dict(re.findall(r"(\w+)='(.*?)'", found[2]))

"""Stand-in of the tests."""

import json
from pathlib import Path

from apis.alarm import AddAlarm
from apis.tool_search import ToolSearcher
from apis.translate import Translate


class ToolManager:
    def __init__(self):
        self.database = json.loads(Path("init_database/Alarm.json").read_text())

    def api_call(self, name, **arguments):
        tool = {"AddAlarm": AddAlarm, "ToolSearcher": ToolSearcher, "Translate": Translate}[name](self.database)
        for key in arguments:
            assert key in tool.input_parameters, f"invalid parameter name. parameter: {key}"
        try:
            return {"output": tool.call(**arguments), "exception": None}
        except (RuntimeError, OSError) as error:
            return {"output": None, "exception": str(error)}

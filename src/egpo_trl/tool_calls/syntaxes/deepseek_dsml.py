"""The syntax of DeepSeek-V3.2 ("encoding_dsv32.py"): tagged arguments that say whether they are strings."""

from ..syntax import Syntax, TaggedForm, tagged

_READ, _WRITE = tagged(
    TaggedForm(
        call='<｜DSML｜invoke name="{name}">\n',
        argument='<｜DSML｜parameter name="{key}" string="{string}">{value}</｜DSML｜parameter>\n',
        close="</｜DSML｜invoke>\n",
        begin="<｜DSML｜function_calls>\n",
        end="</｜DSML｜function_calls>",
    )
)

SYNTAX = Syntax("deepseek_dsml", _READ, _WRITE, marks=("｜DSML｜",))

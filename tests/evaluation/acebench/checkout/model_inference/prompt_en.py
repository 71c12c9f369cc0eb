"""Stand-in of the tests, in the layout of the official prompts."""

SYSTEM_PROMPT_FOR_NORMAL_DATA_EN = """Make calls. {time}
{function}"""

SYSTEM_PROMPT_FOR_PREFERENCE_DATA_EN = """Make calls for {profile}.
{function}"""

SYSTEM_PROMPT_FOR_SPECIAL_DATA_EN = """Make calls between "[" and "]". {time}
1. ["Wrong (value) for (key)."]
2. ["Lacking (key1, key2) for (ApiName)"]
3. ["No function fits."]
{function}"""

USER_PROMPT_EN = """Dialogue:\n{question}"""

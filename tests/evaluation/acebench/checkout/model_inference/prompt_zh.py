"""Stand-in of the tests, in the layout of the official prompts."""

SYSTEM_PROMPT_FOR_NORMAL_DATA_ZH = """Make calls. {time}
{function}"""

SYSTEM_PROMPT_FOR_PREFERENCE_DATA_ZH = """Make calls for {profile}.
{function}"""

SYSTEM_PROMPT_FOR_SPECIAL_DATA_ZH = """Make calls between "[" and "]". {time}
1. ["Wrong (value) for (key)."]
2. ["Lacking (key1, key2) for (ApiName)"]
3. ["No function fits."]
{function}"""

USER_PROMPT_ZH = """Dialogue:\n{question}"""

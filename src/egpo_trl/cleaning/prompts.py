"""Renders the question to the judge from the packaged prompt files or the user's own."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from .candidates import Candidate

PLACEHOLDERS = ("conversation", "tools", "answer")


@dataclass(frozen=True)
class JudgePrompts:
    """System and user message of a question to the judge."""

    system: str
    user: str

    @property
    def fingerprint(self) -> str:
        """Checksum of both texts: a journal belongs to the prompts it was written with."""
        return hashlib.sha256(json.dumps([self.system, self.user]).encode()).hexdigest()

    def render(self, row: Mapping[str, Any], candidate: Candidate) -> list[dict[str, str]]:
        user = Template(self.user).substitute(
            conversation=render_conversation(row["prompt"]),
            tools=row.get("tools") or "[]",
            answer=candidate.render(),
        )
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]


def render_conversation(prompt: Any) -> str:
    """A prompt as text: a rendered string as it is, messages as one JSON object a line, without empty fields."""
    if isinstance(prompt, str):
        return prompt
    lines = [{key: value for key, value in message.items() if value is not None} for message in prompt]
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)


def _read(field: str, path: str | None, packaged: str) -> str:
    if path is None:
        return files(__package__).joinpath("templates", packaged).read_text(encoding="utf-8")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{field}: cannot read {path!r}: {error}. Name a UTF-8 text file.") from None


def load_prompts(system_file: str | None = None, user_file: str | None = None) -> JudgePrompts:
    system = _read("system_prompt_file", system_file, "system.txt")
    user = _read("user_prompt_file", user_file, "user.txt")
    template = Template(user)
    if not template.is_valid():
        raise ValueError("user_prompt_file: a $ that does not begin a placeholder must be written $$.")
    found = template.get_identifiers()
    wrong = [f"lacks ${name}" for name in PLACEHOLDERS if name not in found]
    wrong += [f"has ${name}, which is unknown" for name in found if name not in PLACEHOLDERS]
    if wrong:
        wanted = ", ".join(f"${name}" for name in PLACEHOLDERS)
        raise ValueError(f"user_prompt_file {wrong[0]}. It must have {wanted}; write $$ for a dollar sign.")
    return JudgePrompts(system, user)

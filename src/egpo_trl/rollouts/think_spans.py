"""Finds the completion tokens that are chain of thought: the leading think block of each turn, without its tags.

A turn is a run of consecutive policy tokens. It starts inside the block (the chat template wrote the opening tag) or with
the opening tag; the block ends at the first closing tag or with the turn. Tags anywhere else are text.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate, groupby

import torch
from transformers import PreTrainedTokenizerBase

from ..tool_calls.thinking import KNOWN_THINK_TAGS, find_think_tags

_PROMPT_TAIL = 32  # tokens; room for an opening tag of several tokens and the white space after it


class TokenClass(IntEnum):
    """The role of a token in think spans."""

    TEXT = 0
    SPACE = 1
    OPEN = 2
    CLOSE = 3
    SPECIAL = 4  # end of turn, padding and the like: control tokens are never chain of thought


def turn_starts(policy_mask: torch.Tensor) -> torch.Tensor:
    """First token of every turn, (B, T), of a boolean mask of the policy's tokens, (B, T)."""
    before = torch.zeros_like(policy_mask)
    before[:, 1:] = policy_mask[:, :-1]
    return policy_mask & ~before


def cot_mask_from_classes(classes: torch.Tensor, policy_mask: torch.Tensor, opened_mask: torch.Tensor) -> torch.Tensor:
    """Mask of chain of thought, (B, T); `opened_mask` says at the first token of a turn whether it starts in a block."""
    batch_size, length = classes.shape
    starts = turn_starts(policy_mask)
    turns = starts.cumsum(dim=1)  # 1-based; tokens outside the policy are masked wherever this is used
    positions = torch.arange(length, device=classes.device).expand(batch_size, -1)

    def first_in_turn(condition: torch.Tensor) -> torch.Tensor:
        first = torch.full((batch_size, length + 1), length, device=classes.device)
        first = first.scatter_reduce(1, turns, positions.masked_fill(~(condition & policy_mask), length), "amin")
        return first.gather(1, turns)  # back to one value a token

    def any_in_turn(condition: torch.Tensor) -> torch.Tensor:
        return first_in_turn(condition) < length

    leading = first_in_turn(classes != TokenClass.SPACE)
    starts_inside = any_in_turn(starts & opened_mask)
    starts_with_tag = any_in_turn((positions == leading) & (classes == TokenClass.OPEN)) & (positions > leading)
    in_block = policy_mask & (starts_inside | starts_with_tag)
    in_block &= positions < first_in_turn(classes == TokenClass.CLOSE)
    cot_mask = in_block & ((classes == TokenClass.TEXT) | (classes == TokenClass.SPACE))
    has_text = any_in_turn(cot_mask & (classes == TokenClass.TEXT))
    return cot_mask & has_text


class ThinkTags:
    """
    The think tags of one tokenizer, and the chain-of-thought masks that follow from them.

    Tags that are one token each are found by comparing ids. Tags that the tokenizer splits into several tokens (Llama,
    Qwen2.5 and SmolLM2 split `<think>`, and merge its ends with neighbouring characters) are found in the text of the
    turn and mapped back: a token that shares a character with a tag belongs to the tag.

    Args:
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer of the policy.
        tags (`tuple[str, str]`, *optional*):
            Opening and closing tag. By default the first pair of [`KNOWN_THINK_TAGS`] that the tokenizer has as tokens
            or that its chat template mentions.

    Raises:
        ValueError: If no pair is given and none is found, or if tags of several tokens hold non-ASCII characters,
            which tokenizers may split inside a character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, tags: Sequence[str] | None = None) -> None:
        self.start, self.end = tags or self._detect(tokenizer)
        self._tokenizer = tokenizer
        self._special_ids = set(tokenizer.all_special_ids)
        self._texts: dict[int, str] = {}
        self._anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._anchor_text = self._decode([])
        self._table = self._single_token_table()
        if self._table is None and not (self.start + self.end).isascii():
            raise ValueError(
                f"think_tags {self.start!r} and {self.end!r} are neither single tokens of {_name_of(tokenizer)} nor "
                "ASCII. Add them to the tokenizer as tokens, or use ASCII tags."
            )

    @property
    def single_token(self) -> bool:
        """Whether both tags are one token each."""
        return self._table is not None

    def opens(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt ends inside a think block, as with templates that write the opening tag themselves."""
        tail = torch.tensor([list(prompt_ids[-_PROMPT_TAIL:])], dtype=torch.long)
        return bool(self._ends_open(self._classify(tail, torch.ones_like(tail, dtype=torch.bool)))[0])

    def cot_mask(
        self,
        prompt_ids: torch.Tensor,
        prompt_mask: torch.Tensor,
        completion_ids: torch.Tensor,
        policy_mask: torch.Tensor,
    ) -> torch.Tensor:
        """
        Chain-of-thought mask of a batch of rollouts.

        A turn after a tool result starts inside a think block when the row's prompt did and the tokens before the turn
        end with the opening tag: then the chat template wrote both, and no tool result can forge it.

        Args:
            prompt_ids (`torch.Tensor`):
                Left-padded prompts, shape (B, P).
            prompt_mask (`torch.Tensor`):
                1 at prompt tokens, 0 at padding, shape (B, P).
            completion_ids (`torch.Tensor`):
                Right-padded completions, shape (B, T).
            policy_mask (`torch.Tensor`):
                1 at tokens that the policy generated, 0 at padding and tool results, shape (B, T).

        Returns:
            `torch.Tensor`:
                Boolean mask of the chain-of-thought tokens, shape (B, T).
        """
        policy = policy_mask.bool()
        tail_mask = prompt_mask[:, -_PROMPT_TAIL:].bool()
        prompt_opens = self._ends_open(
            self._classify(prompt_ids[:, -_PROMPT_TAIL:], tail_mask).masked_fill(~tail_mask, TokenClass.SPACE)
        )
        opened = torch.zeros_like(policy)
        opened[:, 0] = prompt_opens
        classes = self._classify(completion_ids, policy)
        later_turns = turn_starts(policy) & prompt_opens.unsqueeze(1)
        later_turns[:, 0] = False
        for row, turn in later_turns.nonzero().tolist():  # only for executed tools with a prefilled template
            before = completion_ids[row : row + 1, max(0, turn - _PROMPT_TAIL) : turn]
            opened[row, turn] = self._ends_open(self._classify(before, torch.ones_like(before, dtype=torch.bool)))[0]
        return cot_mask_from_classes(classes, policy, opened)

    def _ends_open(self, classes: torch.Tensor) -> torch.Tensor:
        """Whether the last token of each row that is not white space is part of an opening tag, shape (B,)."""
        if classes.shape[1] == 0:
            return torch.zeros(len(classes), dtype=torch.bool, device=classes.device)
        solid = classes != TokenClass.SPACE
        last = solid.shape[1] - 1 - solid.int().flip(1).argmax(dim=1)
        return classes.gather(1, last.unsqueeze(1)).squeeze(1) == TokenClass.OPEN

    def _classify(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[`TokenClass`] of every token; meaningful where `mask` holds. Tags never reach across a gap in the mask."""
        if self._table is None:
            return self._classify_text(ids, mask)
        if self._table.device != ids.device:
            self._table = self._table.to(ids.device)
        return self._table[ids.clamp(max=len(self._table) - 1)]  # models may have more rows than the tokenizer has ids

    def _single_token_table(self) -> torch.Tensor | None:
        """[`TokenClass`] by token id, the last entry for ids past the vocabulary; `None` if a tag is several tokens."""
        added = self._tokenizer.get_added_vocab()
        if self.start not in added or self.end not in added:
            return None
        vocab = self._tokenizer.get_vocab()
        table = torch.full((max(vocab.values()) + 2,), TokenClass.TEXT)
        space = [i for token, i in vocab.items() if _may_be_space(token) and self._text(i).isspace()]
        table[space] = TokenClass.SPACE
        table[sorted(self._special_ids)] = TokenClass.SPECIAL
        table[added[self.start]] = TokenClass.OPEN
        table[added[self.end]] = TokenClass.CLOSE
        return table

    def _classify_text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The same for tags of several tokens: one pair of transfers, then each turn is read as text on the host."""
        classes = torch.full_like(ids, TokenClass.TEXT, device="cpu")
        for row, (row_ids, row_mask) in enumerate(zip(ids.tolist(), mask.tolist(), strict=True)):
            end = 0
            for is_turn, tokens in groupby(row_mask):
                begin, end = end, end + len(list(tokens))
                if is_turn:
                    classes[row, begin:end] = torch.tensor(self._turn_classes(row_ids[begin:end]), dtype=classes.dtype)
        return classes.to(ids.device)

    def _turn_classes(self, ids: list[int]) -> list[TokenClass]:
        texts = [self._text(token_id) for token_id in ids]
        classes = [
            TokenClass.SPECIAL if i in self._special_ids else TokenClass.TEXT if text.strip() else TokenClass.SPACE
            for i, text in zip(ids, texts, strict=True)
        ]
        ends = list(accumulate(map(len, texts)))
        for tag, token_class in ((self.start, TokenClass.OPEN), (self.end, TokenClass.CLOSE)):
            for match in re.finditer(re.escape(tag), "".join(texts)):
                first, last = bisect_right(ends, match.start()), bisect_left(ends, match.end())
                classes[first : last + 1] = [token_class] * (last + 1 - first)
        return classes

    def _text(self, token_id: int) -> str:
        """Text of one token in the middle of a text; bytes of an incomplete character become U+FFFD."""
        if token_id not in self._texts:
            text = self._decode([token_id])
            self._texts[token_id] = text.removeprefix(self._anchor_text)
        return self._texts[token_id]

    def _decode(self, ids: list[int]) -> str:
        # The anchor in front keeps decoders from stripping the leading space of a first token.
        return str(
            self._tokenizer.decode(
                [*self._anchor, *ids], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    @staticmethod
    def _detect(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
        tags = find_think_tags(tokenizer)
        if tags is None:
            raise ValueError(
                f"No think tags found: {_name_of(tokenizer)} has none of {[tag for tag, _ in KNOWN_THINK_TAGS]} in its "
                "vocabulary or chat template. If your prompt asks for tags, name them: think_tags=['<think>', '</think>']."
            )
        return tags


def _name_of(tokenizer: PreTrainedTokenizerBase) -> str:
    return f"tokenizer {tokenizer.name_or_path!r}" if tokenizer.name_or_path else type(tokenizer).__name__


# White space as byte-level BPE ("Ġ" is a space), SentencePiece ("▁") and plain vocabularies spell it. "č" is a
# carriage return to the first and a letter to the second, so decoding has the last word.
_SPACE_SPELLINGS = frozenset(" \n\t\r\f\vĠĊĉċČč▁")


def _may_be_space(token: str) -> bool:
    return _SPACE_SPELLINGS.issuperset(token) or (token.startswith("<0x") and len(token) == 6)

"""CLIP's tokenizer with a small vocabulary: every word of the drawings' captions is one token.

All bytes are in it, alone and as the end of a word, so that unknown words become letters and do no harm.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from momalisa.artworks.procedural import COLORS, MANNERS, all_captions

MAX_TOKENS = 32
_BOS, _EOS = "<|startoftext|>", "<|endoftext|>"
_END = "</w>"
# Words that people will put around a manner and its colours.
_FURTHER_WORDS = """
a an the of in on by with and or style manner artwork moma museum painting picture abstract modern art oil canvas
portrait landscape still life woman man light dark bright pale deep warm cool soft sharp large small many few thick
thin old new untitled composition study figure sky sea city garden flowers house trees coffee seasons industrial
setting critique usa picasso monet changing watercolor drawing print century era purple gray gold silver
"""


def create_tokenizer() -> CLIPTokenizer:
    """The tokenizer, the same at every call."""
    vocabulary, merges = learn_vocabulary(_words())
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        bos_token=_BOS,
        eos_token=_EOS,
        unk_token=_EOS,
        pad_token=_EOS,
        model_max_length=MAX_TOKENS,
    )


def learn_vocabulary(words: Iterable[str]) -> tuple[dict[str, int], list[Any]]:
    """Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) until every word is a single token.

    Returns token -> id and the merges in order.
    """
    letters = sorted(ByteLevel.alphabet())
    tokens = letters + [letter + _END for letter in letters]
    spellings = {word: (*word[:-1], word[-1] + _END) for word in sorted(set(words))}
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in spellings.values() for pair in itertools.pairwise(parts)):
        # The most frequent pair; among equals the first in the alphabet, so that the result is stable.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        if "".join(best) not in tokens:
            tokens.append("".join(best))
        spellings = {word: _merge(parts, best) for word, parts in spellings.items()}
    return {token: index for index, token in enumerate([*tokens, _BOS, _EOS])}, merges


def _merge(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _words() -> set[str]:
    """Letters only, as CLIP's own splitting leaves them."""
    captions = [
        caption
        for manner in MANNERS
        for foreground, ground in zip(COLORS, (*COLORS[1:], COLORS[0]), strict=True)
        for caption in all_captions(manner, foreground, ground)
    ]
    return set(re.findall(r"[a-z]+", " ".join([*captions, _FURTHER_WORDS]).lower()))

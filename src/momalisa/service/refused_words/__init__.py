"""Lists of refused words, one file a language, and how a prompt is searched for them.

A line is a word, a phrase, or a beginning (`word*`, for languages that join words and for endings). Art shows bodies
and battles: naked people, blood and death are not on the lists; slurs, pornography and delight in cruelty are.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Self

from momalisa.errors import ConfigError

_DIGITS = str.maketrans("034578@$€+", "oeastbaset")
_LOOKALIKES = str.maketrans("аеорсухіјѕκοαερυ", "aeopcyxijskoaepu")
"""Cyrillic and Greek letters that pass for Latin ones."""
_ONE = "1!|"
"""Stand for an i as well as for an l."""
_WORD = re.compile(r"[^\W_]+")
_DISGUISED = re.compile(r"(?:[^\W_]|[@$€+!|])+")
_RUN = re.compile(r"(.)\1{2,}")
_SPELT_OUT = re.compile(r"(?<![^\W_])(?:[^\W\d_][\W_]{1,2}){2,}[^\W\d_](?![^\W_])")


class RefusedWords:
    """Words, phrases and beginnings of words."""

    def __init__(self, entries: Iterable[str]) -> None:
        plain = {" ".join(_WORD.findall(_folded(entry))): entry.endswith("*") for entry in entries}
        self._phrases = frozenset(text for text, is_beginning in plain.items() if not is_beginning)
        self._beginnings = tuple(text for text, is_beginning in plain.items() if is_beginning)
        self._longest = max((text.count(" ") + 1 for text in plain), default=1)

    @classmethod
    def bundled(cls, languages: Iterable[str]) -> Self:
        """Those of some languages. Raises ConfigError for one that there is no list of."""
        return cls(entry for language in languages for entry in _entries(language))

    def are_in(self, text: str) -> bool:
        """Whether a text has one of them as a word of its own, be it disguised or spelt out."""
        return any(self._has(reading) for reading in _readings(_folded(text)))

    @property
    def num_entries(self) -> int:
        """How many words, phrases and beginnings there are."""
        return len(self._phrases) + len(self._beginnings)

    def _has(self, words: list[str]) -> bool:
        for begin in range(len(words)):
            for end in range(begin + 1, min(begin + self._longest, len(words)) + 1):
                phrase = " ".join(words[begin:end])
                if phrase in self._phrases or phrase.startswith(self._beginnings):
                    return True
        return False


def _entries(language: str) -> Iterator[str]:
    file = files(__name__).joinpath(f"{language}.txt")
    if not language.isalpha() or not file.is_file():
        raise ConfigError(f"there is no list of refused words for {language!r}: take en, es, de, fr, it")
    for line in file.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def _folded(text: str) -> str:
    """Lower case, without accents, marks and characters that nobody sees; ß as ss, ﬁ as fi."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cf"))


def _readings(folded: str) -> Iterator[list[str]]:
    """A text's words, as they stand and as they may be meant."""
    plain = _WORD.findall(folded)
    yield plain
    for shortened in ("\\1", "\\1\\1"):
        yield [_RUN.sub(shortened, word) for word in plain]
    latin = folded.translate(_LOOKALIKES)
    for one in "il":
        yield [_undisguised(word, one) for word in _DISGUISED.findall(latin)]
    for spelt_out in _SPELT_OUT.findall(latin):
        yield ["".join(_WORD.findall(spelt_out))]


def _undisguised(word: str, one: str) -> str:
    """Digits and signs as letters, but for years and numbers, and for signs that end a sentence."""
    word = word.rstrip("!|+€$@")
    if not any(c.isalpha() for c in word):
        return word
    return word.translate(_DIGITS).translate(dict.fromkeys(map(ord, _ONE), one))

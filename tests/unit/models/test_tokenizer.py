import re

from transformers import CLIPTokenizer

from momalisa.artworks.procedural import MANNERS, all_captions
from momalisa.models.tokenizer import MAX_TOKENS, create_tokenizer, learn_vocabulary


def test_every_caption_fits_and_its_words_are_single_tokens() -> None:
    tokenizer = create_tokenizer()
    captions = [text for manner in MANNERS for text in all_captions(manner, "turquoise", "violet")]
    ids = tokenizer(captions).input_ids
    assert max(map(len, ids)) <= MAX_TOKENS - 8
    for caption, row in zip(captions, ids, strict=True):
        spoken = tokenizer.decode(row, skip_special_tokens=True)
        assert re.sub(r"[^a-z]+", " ", spoken) == re.sub(r"[^a-z]+", " ", caption)
        assert len(row) - 2 == len(re.findall(r"[a-z]+|[^a-z\s]", caption))
    assert len(tokenizer("blue dots on a yellow ground").input_ids) == 6 + 2


def test_unknown_words_become_letters_not_the_end() -> None:
    tokenizer = create_tokenizer()
    for text in ("xylophone", "Übergröße", "漢字", "🙂", "a\x00b", "!?#42"):
        inner = tokenizer(text).input_ids[1:-1]
        assert inner
        assert tokenizer.eos_token_id not in inner
    assert tokenizer.decode(tokenizer("xylophone").input_ids, skip_special_tokens=True) == "xylophone"
    assert tokenizer("xylophone").input_ids != tokenizer("xylophones").input_ids


def test_special_tokens_stand_where_clip_expects_them() -> None:
    tokenizer = create_tokenizer()
    row = tokenizer("red and white stripes", padding="max_length").input_ids
    assert len(row) == tokenizer.model_max_length == MAX_TOKENS
    assert row[0] == tokenizer.bos_token_id
    assert row[5:] == [tokenizer.pad_token_id] * (MAX_TOKENS - 5)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id != 2
    assert len(tokenizer("dots " * 99, truncation=True).input_ids) == MAX_TOKENS


def test_saving_and_loading_gives_the_same_ids(tmp_path) -> None:
    tokenizer = create_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["green circles in circles on black", "hard-edge Diagonals, ünknown"]
    assert loaded(texts, padding="max_length").input_ids == tokenizer(texts, padding="max_length").input_ids
    assert loaded.model_max_length == MAX_TOKENS


def test_merges_stop_when_every_word_is_one_token() -> None:
    vocabulary, merges = learn_vocabulary(["dot", "dots"])
    assert {"dot</w>", "dots</w>"} <= vocabulary.keys()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert merges[0] == ("d", "o")

"""What single checks count and what they leave alone; what all of them promise is in tests/contracts/test_checks.py."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.checks import (
    boilerplate,
    control_characters,
    invisible_characters,
    mojibake,
    personal_data,
    secrets,
    template_tokens,
)
from data.checks.near_duplicates import similarity
from data.checks.number_of_rows import advice
from data.checks.personal_data import passes_luhn, personal_kinds
from data.checks.refusals import _PHRASES
from data.conversation import PlainText
from data.loading import ReadRow
from data.looking import Block, Limits, Setup
from data.secret_forms import secret_kinds
from data.splitting import collapsed

LONG = "a1B2" * 20


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("AKIA" + "Q" * 16, "AWS access key"),
        ("ghp_" + LONG[:36], "GitHub token"),
        ("github_pat_" + (LONG * 2)[:82], "GitHub token"),
        ("glpat-" + LONG[:20], "GitLab token"),
        ("sk-ant-api03-" + LONG, "Anthropic key"),
        ("sk-proj-" + LONG, "OpenAI key"),
        ("sk-" + LONG[:48], "OpenAI key"),
        ("hf_" + "aB" * 17, "Hugging Face token"),
        ("xoxb-1234567890-" + LONG[:20], "Slack token or webhook"),
        ("AIza" + LONG[:35], "Google API key"),
        ("sk_live_" + LONG[:24], "Stripe key"),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + LONG, "private key"),
        (f"eyJ{LONG[:20]}.eyJ{LONG[:20]}.{LONG[:20]}", "JSON web token"),
        ("postgres://me:hunter22@db.local/x", "password in an address"),
    ],
)
def test_a_key_is_told_by_its_kind_wherever_it_stands(text: str, kind: str) -> None:
    assert list(secret_kinds(text)) == [kind]
    assert list(secret_kinds(f"Set KEY='{text}' and run it.")) == [kind]


@pytest.mark.parametrize(
    "text", ["sk-learn is a library", "AKIA", "hf_hub_download(repo_id)", "https://host:8080/a@b", "eyJ", "xoxo"]
)
def test_what_only_looks_like_a_key_is_none(text: str) -> None:
    assert list(secret_kinds(text)) == []


@pytest.mark.parametrize("piece", ["eyJ-", "sk-", "-----BEGIN ", "a://b:", "@a.", "+1 ", "\x1b]", "`", "hf_", "<|"])
def test_a_long_row_made_to_keep_patterns_busy_takes_no_longer_than_another(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    block = Block()
    block.add(ReadRow(1, "rows.jsonl", 1, {}, PlainText(text, 1), None))
    for module in (boilerplate, control_characters, mojibake, personal_data, secrets, template_tokens):
        looking = module.start(Setup(Limits(), Path("unused"), ("rows.jsonl",)))
        started = time.process_time()
        looking.look(block)
        assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Write to ada@gmail.com.", ["e-mail address"]),
        ("Write to ada@example.com.", []),
        ("a @decorator and user@host", []),
        ("Pay with 4111 1111 1111 1111 now", ["credit-card number"]),
        ("Pay with 4111 1111 1111 1112 now", []),
        ("Ring +49 30 901820 today", ["phone number"]),
        ("Ring (212) 867-5309 or 212.867.5309", ["phone number"]),
        ("1 + 2 + 345678901 is a sum, 2024-01-01 a date", []),
        ("from 91.198.174.192 on", ["IP address"]),
        ("192.168.0.1, 10.0.0.7, 127.0.0.1, 192.0.2.1 and version 1.2.3.4", []),
    ],
)
def test_personal_data_is_counted_by_kind_and_examples_are_nobodys(text: str, kinds: list[str]) -> None:
    assert list(personal_kinds(text)) == kinds


@pytest.mark.parametrize(
    "text",
    [
        *("+49 171 2345689", "0171 2345689", "0171/2345689", "0171-2345689", "030 90182013", "(030) 90182013"),
        *(
            "0049 171 2345689",
            "0049-171-2345689",
            "00491712345689",
            "01712345689",
            "089 / 12 34 56 78",
            "020 7946 0958",
        ),
        *("(0171) 234 56 89", "01 42 68 53 00", "(212) 555-0123", "212-555-0123", "Tel.0171/2345689"),
    ],
)
def test_a_phone_number_is_found_in_the_forms_in_which_people_write_it(text: str) -> None:
    assert list(personal_kinds(text)) == ["phone number"]
    assert list(personal_kinds(f"Ruf {text}, bitte.")) == ["phone number"]
    block = Block()
    block.add(ReadRow(1, "rows.jsonl", 1, {}, PlainText(f"Ruf {text}.", 1), None))
    looking = personal_data.start(Setup(Limits(), Path("unused"), ("rows.jsonl",)))
    looking.look(block)
    assert looking.finish()[0][0].count == 1


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-02", "01/02/2024", "02.01.2024 10:30", "2024-01-02T03:04:05", "01-02-2024", "0203 2024"),
        *("0123", "0123456789", "01234567890", "0306406152", "4006381333931", "012345678905", "007", "1 000 000"),
        *("A01712345689", "id_0171-2345689", "x-0171 2345689", "0171-2345689abc", "#0171"),
        *("0.0171 2345689", "3.01712345689", "0.01712345689", "1,0171 2345689", "0.0123456789"),
        *("192.168.0.1", "010.020.030.040", "1.2.03", "v0.171.2345689", "01.02.03.04.05"),
        *("0012 0034 0056", "0123 4567 8901 2345", "0900-1700", "0001 0002 0003", "01 02 03 04 05", "00000000001"),
        *("1 + 2 + 345678901", "0x0171 2345689", "550e8400-e29b-41d4-a716-446655440000", "0445-110-183"),
    ],
)
def test_dates_versions_decimals_and_numbers_of_things_are_no_phone_numbers(text: str) -> None:
    assert list(personal_kinds(text)) == []
    assert list(personal_kinds(f"See {text}, please.")) == []


def test_a_card_number_has_its_check_digit() -> None:
    assert passes_luhn("378282246310005")
    assert not passes_luhn("378282246310006")
    assert not passes_luhn("0000 0000 0000 0000")


def test_garbled_letters_come_back_where_all_of_them_can() -> None:
    assert mojibake.repaired("cafÃ© â€“ â€œnonâ€\x9d, ÐŸÑ€Ð¸Ð²ÐµÑ‚") == "café – “non”, Привет"
    assert mojibake.repaired("cafÃ© and café") == "cafÃ© and café"
    assert mojibake.repaired("«CAFÉ» für NÃO") == "«CAFÉ» für NÃO"


@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co", "Cf", "Zl", "Zp"])))
def test_text_that_was_garbled_once_is_mended_or_left(text: str) -> None:
    garbled = "".join(mojibake._CP1252[_PLACE[byte]] if byte in _PLACE else chr(byte) for byte in text.encode())
    assert mojibake.repaired(garbled) in (text, garbled)


_PLACE = {character.encode("cp1252")[0]: place for place, character in enumerate(mojibake._CP1252)}


def test_control_characters_go_with_the_whole_escape_sequence() -> None:
    assert control_characters.repaired("\x1b[1;31mred\x1b[0m\x07, a\x00b\x85c\tok\n") == "red, abc\tok\n"


def test_invisible_characters_go_and_flags_and_joined_emoji_stay() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    family = "\U0001f468\u200d\U0001f469"
    assert invisible_characters.repaired(f"a\u200bb\ufeff{flag}{family}\U000e0041\u202ec") == f"ab{flag}{family}c"


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("As an AI, I have no body.", True),
        ("I cannot provide that.", True),
        ("She said: I'm sorry, but the shop is closed.", False),
        ("I cannot recommend this book enough.", False),
        ("Language models are trained on text.", False),
    ],
)
def test_refusals_are_told_from_people_who_are_sorry(answer: str, is_one: bool) -> None:
    assert (_PHRASES.search(answer) is not None) is is_one


def test_one_changed_word_leaves_texts_alike_and_other_words_do_not() -> None:
    text = " ".join(f"word{number} stands here" for number in range(40))
    assert similarity(text, text.replace("word7 ", "other ")) > 0.9
    assert similarity(text, " ".join(f"else{number} lies there" for number in range(40))) < 0.2
    assert similarity("too short", "too short") == 0


def test_text_without_blanks_is_compared_by_characters() -> None:
    text = "".join(chr(0x4E00 + 7 * number) for number in range(200))
    assert similarity(text, text[:100] + "一" + text[101:]) > 0.85


@given(text=st.text() | st.text(" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85aAß"))
def test_a_collapsed_text_is_the_key_by_which_rows_are_split(text: str) -> None:
    assert collapsed(text) == " ".join(text.casefold().split())


@pytest.mark.parametrize("num_rows", [0, 49, 50, 500, 1000, 5000, 10_000, 10**7])
def test_every_number_of_rows_has_its_advice(num_rows: int) -> None:
    assert advice(num_rows).endswith(".")
    assert advice(49) != advice(50) != advice(999) != advice(4999) != advice(9999) != advice(10_000)

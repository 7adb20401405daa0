"""Records what llama.cpp makes of a set of probe strings: the truth that converted tokenizers are held to.

Needs llama-cpp-python (the extra `gguf`) and the GGUF file; writes tokenizer_probes.jsonl beside itself:

    python tests/recorded/record_tokenizer_probes.py PATH/TO/SmolLM2-135M-Instruct.Q4_1.gguf

First line: versions and the file's SHA-256. Every other line: {"text": …, "ids": […]}, without special tokens
and without a beginning-of-text token. The probes are hand-picked edges plus seeded mixtures of their pieces.
"""

# ruff: noqa: E501
from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

TARGET = Path(__file__).with_name("tokenizer_probes.jsonl")
SEED = 20
MIXTURES = 640

EDGES = [
    *(" " * before + digits + " " * after for digits in ("7", "42", "1000000") for before in (0, 1, 2, 3, 5) for after in (0, 1, 2)),
    *(f"{sign}{number}" for sign in ("-", "+", "$", "€", "#", " -", "~") for number in ("0", "12", "3.14", "1,024", "1e-5")),
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", "\r\n", " \n", "\n ", "  \n  ", "\n\n  3", "a\n\n 1", "x \t 1",
    "I'm", "you're", "he'd", "we'll", "it's 5", "DON'T", "o'clock", "'s", " 's", "'S", "l'été", "rock'n'roll",
    "2024-03-01T12:30:00Z", "192.168.0.1:8080", "v1.2.3-rc4", "python3.11", "3x4", "x2", "2x", "1st", "100%", "½ cup", "x² + y³",
    "Ⅳ", "IV Ⅳ 4", "①②③", "٣٤٥", "०१२", "一二三", "３４", "1٣", "𝟘𝟙", "12½", "₁₂", "⅓", "௧௨",
    "héllo", "naïve café", "Größe", "e\u0301", "\u00e9", "İstanbul", "ﬁnance", "Ωμέγα", "Привет, мир 2", "مرحبا ١٢٣", "שלום 5",
    "你好，世界 12", "こんにちは3回", "안녕하세요 7", "สวัสดี ๓", "नमस्ते", "🙂", "👩‍👩‍👧‍👦", "🇫🇷 1", "a🙂1b", "\u200b", "\u00a0 1", "\u3000２",
    "\ufeffbom", "\x00", "\x07 bell", "\x7f", "\u2028", "\u0085 1", "a\u00adb", "\U0010ffff",
    "def f(x):\n    return x ** 2  # 2 spaces\n", "for i in range(10):\n\tprint(i)\n", "if (a[0] != b[1]) { return -1; }",
    "SELECT * FROM t WHERE id = 42;", "<html lang=\"en\">\n  <p>1</p>\n</html>", "{\"a\": [1, 2, 3]}", "a=1;b=2", "0xFF 0b101 1_000",
    "venvy register --name api /srv/api", "venvy ls --sort size", "COMMAND: venvy scan ~/src\nCONFIDENCE: 0.9",
    "rm -rf ./build && make -j4", "https://example.org/a?b=1&c=%20#x", "user@example.org", "C:\\Users\\me\\file1.txt",
    "$\\frac{1}{2}$", "###  3.  Title", "- [ ] 1 item\n  - [x] 2", "| a | 1 |\n|---|---|", "......", "!!!1!", "----", "____1", "((1))",
    "<|im_start|>user\nhi<|im_end|>", "<|endoftext|>", "<repo_name>x<file_sep>1", "<|im_start|> 1", "a<|im_end|>b",
    "CamelCaseHTTP2Server", "snake_case_1", "kebab-case-2", "ALLCAPS99", "aaaaaaaaaaaaaaaaaaaaaaaa", "1" * 30, "ab" * 20,
]  # fmt: skip

PIECES = [
    " ", "  ", "   ", "\n", "\n\n", "\t", "0", "7", "42", "365", "2024", "3.14", "½", "²", "Ⅳ", "٣", "一", "the", " the", "The", " answer",
    "venvy", " register", " --long", "--json", " /srv/api", "ing", "tion", "'s", "'ll", "é", "ß", "ñ", "Ж", "你", "好", "の", "🙂", ".", ",",
    "!", "?", ":", ";", "-", "_", "/", "\\", "(", ")", "[", "]", "{", "}", "=", "==", "+", "*", "#", "\"", "`", "<", ">", "|", "&", "%", "$",
    "@", "~", "x", "A", "Z", "foo", "Bar", "def ", "return", "    ", " = ", "0x1f", "km", " °C", "\u00a0", "\u200d", "e\u0301", "…", "—",
]  # fmt: skip


def probes() -> list[str]:
    """Every probe once, in a fixed order."""
    choose = random.Random(SEED)
    mixed = ["".join(choose.choices(PIECES, k=choose.randint(2, 12))) for _ in range(MIXTURES)]
    return list(dict.fromkeys([*EDGES, *mixed]))


def main(gguf: Path) -> None:
    import llama_cpp

    model = llama_cpp.Llama(str(gguf), vocab_only=True, verbose=False)
    about = {
        "recorded_with": f"llama-cpp-python {llama_cpp.__version__}",
        "gguf": gguf.name,
        "gguf_sha256": hashlib.sha256(gguf.read_bytes()).hexdigest(),
        "special_tokens": False,
    }
    lines = [json.dumps(about)]
    for text in probes():
        ids = model.tokenize(text.encode("utf-8"), add_bos=False, special=False)
        lines.append(json.dumps({"text": text, "ids": ids}))
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines) - 1} probes -> {TARGET} ({TARGET.stat().st_size} bytes)")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Texts on which two tokenizers are compared: where cuts differ, these show it. Data only."""

from __future__ import annotations

from itertools import product

WORDS = (
    "7",
    "42",
    "1000000",
    "3.14",
    "word",
    "Ünïcödé",
    "don't",
    "I'LL",
    "中文",
    "🙂",
    "=>",
    "snake_case",
    "CamelCase",
)
SPACES = ("", " ", "  ", "   ", "\t", "\n", "\n\n", " \n ", "\r\n")
PIECES = (
    "Hello, world!",
    "venvy ls --sort size --json",
    "COMMAND: venvy ls\nCONFIDENCE: high",
    "def f(x):\n    return x ** 2  # squared\n",
    "\tif (a && b) {\n\t\treturn c->d[0];\n\t}\n",
    '{"key": [1, 2.5, null], "über": "ß"}',
    "SELECT * FROM t WHERE id = 12345 AND name LIKE '%x%';",
    "https://example.org/path?q=1&r=%20#top",
    "1 22 333 4444 55555 666666 7777777 1,234,567.89 0x1F 1e-05",
    "!!! ??? ... ---- ==== //// \\\\ '''' \"\"\"\" ~~~~ ````",
    "I've you're he'd we'll they'RE it'S O'Brien 'tis",
    "naïve café façade Zürich Ångström smørrebrød Straße",
    "e\u0301 combining, \u00a0no-break, \u200bzero width, \u3000ideographic space",
    "Съешь ещё этих мягких французских булок, да выпей чаю 2024",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία",
    "שלום עולם, مرحبا بالعالم ١٢٣",
    "我想在 Apple 工作 1314151 天~ 這是中文。日本語のテキスト、한국어 텍스트",
    "नमस्ते दुनिया, สวัสดีชาวโลก, កាន់តែពិសេស",
    "🚀 (normal) 😶\u200d🌫️ (joined) ✅ 🦙🦙 👩🏽\u200d💻 ½ ² Ⅷ",
    " leading", "trailing ", "  two before", "two behind  ", "a  b   c    d", "\n\n\nthree", "end\n\n", " \n \t \n",
    "A\u0300B\u0301 ÀÉ ﬁ ﬂ ℃ ™ ©",
    "x=1;y=2;z=x+y*3", "@user #tag $5.00 50% ^caret &amp;", "tail\u2026 \u2014 \u2018quoted\u2019 \u201cdouble\u201d",
)  # fmt: skip
PLAIN_PROBES: tuple[str, ...] = (
    *(before + word + after for word, before, after in product(WORDS, SPACES, (" ", "\n", "  7"))),
    *PIECES,
)

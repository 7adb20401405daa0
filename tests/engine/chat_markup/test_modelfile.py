"""Modelfiles: composed, and read as Ollama's parser reads them."""

from __future__ import annotations

import pytest

from engine.chat_markup.modelfile import Modelfile, read
from engine.errors import ModelError

MODELFILE = Modelfile(
    model="./demo-Q8_0.gguf",
    template='{{- range .Messages }}{{ "<|im_start|>\\n" }}\n{{- end }}',
    system='Say "yes".\nOr "no"',
    parameters=(("stop", "<|im_end|>"), ("stop", "</s>"), ("num_ctx", "4096"), ("temperature", "0")),
    licence="Apache-2.0",
    comment=("demo, tuned with finetui.",),
)


def test_a_modelfile_reads_as_it_was_written() -> None:
    assert read(MODELFILE.text()) == MODELFILE
    assert MODELFILE.text().startswith("# demo, tuned with finetui.\nFROM ./demo-Q8_0.gguf\n")


def test_a_system_text_that_would_end_its_quotes_is_refused() -> None:
    told = Modelfile("./a.gguf", "{{ .Prompt }}", 'three """\nquotes', (), None)
    with pytest.raises(ModelError, match="system text holds three double quotes") as caught:
        told.text()
    assert "data.system" in caught.value.remedy


def test_a_stop_text_with_a_quote_in_it_is_refused() -> None:
    with pytest.raises(ModelError, match="ends an answer"):
        Modelfile("./a.gguf", "{{ .Prompt }}", None, (("stop", '"'),), None).text()

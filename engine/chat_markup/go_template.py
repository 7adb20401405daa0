"""Markup as a template of Go, the language of Ollama's TEMPLATE.

Every literal is a quoted string in an action, and every action trims the text beside it: what stands between actions is
layout only, and braces, quotes and line breaks of the markup cannot be misread. Not here: evaluating it
(`go_evaluation`).
"""

from __future__ import annotations

from engine.chat_markup.deriving import Markup

COMPLETION = "{{ .Prompt }}"
"""For a model that continues plain text."""


def compose(markup: Markup) -> str:
    """The TEMPLATE. A system message counts at the beginning of the conversation, where Ollama puts it."""
    opening = _text(markup.opening)
    system = ""
    if markup.system == "first":
        opening = f'{{{{ if eq .Role "system" }}}}{_text(markup.before_system)}{{{{ else }}}}{opening}{{{{ end }}}}'
        system = f"{{{{ .Content }}}}{_text(markup.after_system)}"
    before_user = ""
    if markup.system == "before the last user":
        given = f"{_text(markup.before_system)}{{{{ $.System }}}}{_text(markup.after_system)}"
        before_user = f"{{{{ if and $last $.System }}}}{given}{{{{ end }}}}"
    after_user = _either(markup.to_generation, markup.to_answer)
    after_answer = f"{{{{ if not $last }}}}{_text(markup.to_user)}{{{{ end }}}}"
    lines = (
        "{{- range $i, $_ := .Messages }}",
        "{{- $last := eq (len (slice $.Messages $i)) 1 }}",
        f"{{{{- if eq $i 0 }}}}{opening}{{{{ end }}}}",
        f'{{{{- if eq .Role "system" }}}}{system}',
        f'{{{{- else if eq .Role "user" }}}}{before_user}{{{{ .Content }}}}{after_user}',
        f'{{{{- else if eq .Role "assistant" }}}}{{{{ .Content }}}}{after_answer}',
        "{{- end }}",
        "{{- end }}",
    )
    return "\n".join(lines)


def _either(last: str, other: str) -> str:
    if last == other:
        return _text(last)
    return f"{{{{ if $last }}}}{_text(last)}{{{{ else }}}}{_text(other)}{{{{ end }}}}"


def _text(text: str) -> str:
    return f"{{{{ {quoted(text)} }}}}" if text else ""


def quoted(text: str) -> str:
    """An interpreted string literal of Go."""
    plain = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(plain.get(each, each if each.isprintable() else _escaped(each)) for each in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""A document as one HTML file: style and curves inside, no script, no address of anything elsewhere.

It follows the reader's light or dark setting, prints, and reads aloud: tables have captions and headers, curves a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from engine.report.document import Block, Bullets, Code, Document, Figure, Paragraph, Section, Table, one_line, visible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2430;--dim:#586473;--line:#d6dce4;--box:#f4f6f9;
--good:#1a7f4b;--note:#2f6fb3;--warning:#9a5b00;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e4e9f0;--dim:#9aa7b6;--line:#333d4a;--box:#1b212a;
--good:#5cc98d;--note:#7fb6ef;--warning:#e8b04b;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2rem 1.2rem 4rem;background:var(--bg);color:var(--fg);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .2rem}h2{font-size:1.25rem;margin:2.6rem 0 .8rem;
border-bottom:1px solid var(--line);padding-bottom:.3rem}
.subtitle{color:var(--dim);margin:0 0 1.4rem}nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;
padding:0;margin:0;font-size:.9rem}a{color:var(--note)}
.tone{border-left:4px solid var(--tone);background:var(--box);padding:.6rem .9rem;margin:.6rem 0;
border-radius:0 6px 6px 0}
.tone b{color:var(--tone)}.good{--tone:var(--good)}.note{--tone:var(--note)}.warning{--tone:var(--warning)}
.bad{--tone:var(--bad)}
.scroll{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;color:var(--dim);padding:.2rem 0 .4rem}
th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
thead th{border-bottom:2px solid var(--line);white-space:nowrap}
tbody th{font-weight:600;min-width:9rem}
figure{margin:1rem 0}figure svg{width:100%;height:auto;color:var(--fg)}
.label{color:var(--dim);font-size:.85rem;margin:.9rem 0 .2rem}
pre{background:var(--box);border:1px solid var(--line);border-radius:6px;padding:.6rem .8rem;margin:.2rem 0 .8rem;
white-space:pre-wrap;overflow-wrap:anywhere;font:.85rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media print{body{max-width:none;padding:0;font-size:10pt}nav{display:none}h2{break-after:avoid}
pre,figure,tr,.tone{break-inside:avoid}}
"""
WORDS = {"good": "Good.", "note": "Note.", "warning": "Look at this.", "bad": "Bad."}


def html(document: Document, curves: Mapping[str, str]) -> str:
    """The whole page. `curves` has the SVG of each figure by name."""
    sections = "\n".join(_section(section, curves) for section in document.sections)
    links = "".join(f'<li><a href="#{_anchor(s.title)}">{_text(s.title)}</a></li>' for s in document.sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" '
        f'content="no-referrer">\n<title>{_text(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<header><h1>{_text(document.title)}</h1><p class="subtitle">{_text(document.subtitle)}</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>\n{sections}\n</main>\n</body>\n</html>\n'
    )


def _section(section: Section, curves: Mapping[str, str]) -> str:
    anchor = _anchor(section.title)
    blocks = "\n".join(_block(block, curves) for block in section.blocks)
    return f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{_text(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block, curves: Mapping[str, str]) -> str:
    match block:
        case Paragraph(text, ""):
            return f"<p>{_text(text)}</p>"
        case Paragraph(text, tone):
            return f'<p class="tone {tone}"><b>{WORDS[tone]}</b> {_text(text)}</p>'
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"
        case Code(label, text):
            return f'<p class="label">{_text(label)}</p><pre tabindex="0">{escape(visible(text))}</pre>'
        case Figure(name, alt):
            return f'<figure role="img" aria-label="{_text(alt)}">{_inline(curves[name], name)}</figure>'
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in table.columns)
    rows = []
    for first, *rest in table.rows:
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(table.caption)}"><table>'
        f"<caption>{_text(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _inline(svg: str, name: str) -> str:
    """An SVG file as part of the page: in the page's colour, its ids its own."""
    from engine.report.curves import INK

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' xmlns(:xlink)?="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    return body.replace(INK, "currentColor").replace("<svg ", '<svg aria-hidden="true" ', 1)


def _text(text: str) -> str:
    return escape(one_line(text))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

"""The keys of the live view, and the words that its help page explains.

Not here: what the keys do (`tui_app/screens/live`).
"""

from __future__ import annotations

from tui_app.chart import CHART_KEYS
from tui_app.keys import Key
from tui_app.runs.later import LATER

SHOWN = {
    "loss": "The loss: every step, its average, the eval losses, and what happened when.",
    "memory": "Memory of the device: yours, others', predicted term by term, and the peak.",
    "throughput": "Speed, and how busy device and machine are.",
    "ladder": "What was changed when memory ran out, and what would come next.",
    "log": "Steps, events, and what the worker wrote.",
    "events": "What happened, without the steps.",
    "plan": "Every value of the plan with its reason.",
    "result": "Every variant's scores, what was made of the result and where it lies, and what to do next.",
}
PANELS = tuple(SHOWN)
"""In the order of their digits."""

STEERING = (
    Key("p", "pause", "pause", "Hold the run after this step, or let a held one go on.", footer=True, steers=True),
    Key("k", "save", "checkpoint", "Write a checkpoint now and go on.", footer=True, steers=True),
    Key(
        "S,shift+s",
        "stop",
        "stop…",
        "Write a checkpoint and end the run; asks first. A second S ends it at once.",
        shown="S",
        footer=True,
        steers=True,
    ),
    Key("R,shift+r", "resume", "resume", "Go on with a run that stopped, failed or died.", shown="R", steers=True),
)
MOVING = (
    Key("q", "detach", "detach", "Leave; the run goes on by itself, and the way back is printed.", footer=True),
    *(Key(str(number), f"panel({number})", name, text) for number, (name, text) in enumerate(SHOWN.items(), start=1)),
    Key("z", "zoom", "zoom", "The chosen panel alone, or all of them again.", footer=True),
    Key("tab", "next_panel(1)", "next panel", "Choose the next panel.", shown="Tab"),
    Key("shift+tab", "next_panel(-1)", "previous panel", "Choose the previous panel.", shown="⇧Tab"),
    Key("up", "scroll(-1)", "scroll up", "Scroll the chosen panel; a scrolled log does not follow.", shown="↑"),
    Key("down", "scroll(1)", "scroll down", "Scroll the chosen panel.", shown="↓"),
    Key("pageup", "page(-1)", "page up", "A page up.", shown="PgUp"),
    Key("pagedown", "page(1)", "page down", "A page down.", shown="PgDn"),
    Key("home", "to_start", "start", "To the beginning.", shown="Home"),
    Key("end", "to_end", "end", "To the end, and follow it.", shown="End"),
    Key("slash", "filter", "filter", "Show only log lines that hold a text.", shown="/", footer=True, opens_field=True),
    Key("y", "copy", "copy", "Copy the chosen panel's text to the terminal's clipboard."),
    Key("escape", "back", "back", "One step back: end the filter, end zoom, or back to the list of runs.", shown="Esc"),
    Key("n", "new", "new run", "Begin another run; this one goes on."),
    Key("h", "history", "history", "Every run so far."),
)
CHART = tuple(Key(key.keys, f"chart('{key.action}')", key.label, key.help, shown=key.shown) for key in CHART_KEYS)
RESULT = tuple(
    Key(each.key, each.action, each.label, each.help, steers=each.action in ("export", "evaluate", "report"))
    for each in LATER
)
KEYS = (*STEERING, *MOVING, *RESULT, *CHART)

GLOSSARY = "\n".join(
    (
        "step: one update of the trained weights; it sees one effective batch.",
        (
            "loss: how surprised the model is by the words it should learn, averaged; lower is better. The band "
            "is every step, the EMA a running mean of it, and eval the loss on rows it does not train on."
        ),
        (
            "eval rises while loss falls: the rows are being learned by heart. Stop, or take the checkpoint where"
            " eval was lowest."
        ),
        (
            "device used: what the driver says is in use on the card, by everybody. On a CPU it is RAM, and mine "
            "is resident memory."
        ),
        (
            "allocated: what the tensors of PyTorch take. reserved is what PyTorch holds of the device to put tensors "
            "into."
        ),
        (
            "predicted, probed, now: the peak of allocated memory as computed before, as one real step of the "
            "longest rows took it, and as measured since."
        ),
        (
            "OOM ladder: what finetui changes when memory runs out. Free rungs change nothing that is learned; "
            "costly ones do, and are taken only if the recipe allows them."
        ),
        "checkpoint: all that is needed to go on from that step. It is not the adapter, which is the result.",
        "tok/s: real tokens a second; padding does not count.",
        "data wait: share of the time in which the device waits for rows.",
        "95 % interval: where the score would probably lie if far more rows were asked.",
        (
            "sign test: how often chance alone parts better from worse rows like this. Below 0.05 a difference is "
            "called one."
        ),
        (
            "perplexity: how surprised a variant is by the expected answers; 1 is not at all. stops: share of answers "
            "that ended by themselves. length: tokens of an answer."
        ),
        (
            "merged: base and adapter in one model folder. GGUF: one file for llama.cpp and Ollama, rounded to the "
            "type in its name. agreement: rows that an artifact answers exactly as the tuned model does."
        ),
    )
)

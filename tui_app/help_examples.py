"""A line to type for each command, as its --help ends with it. Tests parse every one of them.

Not here: what the commands take, and how pages are laid out (`help_page`, `command_parser`).
"""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "new": "finetui new --model bundled:smollm2-135m-instruct --dataset rows.jsonl",
    "replay": "finetui replay demo-cpu --set training.max_steps=20 --name first-try",
    "resume": "finetui resume first-try",
    "join": "finetui join /shared/runs/my-1",
    "runs": "finetui runs --screen",
    "status": "finetui status first-try",
    "attach": "finetui attach first-try --readonly",
    "serve": "finetui serve --port 8080",
    "stop": "finetui stop first-try",
    "save": "finetui save",
    "pause": "finetui pause first-try",
    "continue": "finetui continue first-try",
    "plan": "finetui plan roadmap-tinyllama --device t4",
    "presets": "finetui presets demo-cpu > my.toml",
    "schema": "finetui schema > recipe.schema.json",
    "doctor": "finetui doctor",
    "eval": "finetui eval first-try --data rows.jsonl --metric rouge",
    "report": "finetui report first-try --open",
    "export": "finetui export first-try --to gguf --quantization Q4_K_M",
    "export --to slurm": "finetui export my.toml --to slurm --partition gpu --time 12:00:00",
    "export --to skypilot": "finetui export my.toml --to skypilot --bucket s3://my-runs",
    "chat": 'finetui chat first-try --against base --prompt "list my environments"',
    "compare": "finetui compare first-try second-try",
    "sweep": "finetui sweep demo-cpu --grid adapter.r=8,16,32",
    "queue": "finetui queue add my.toml --name overnight",
    "queue add": "finetui queue add my.toml --name overnight",
    "queue remove": "finetui queue remove 3",
    "rename": "finetui rename demo-cpu-3 first-good-one",
    "explain": "finetui explain rank",
    "data catalog": "finetui data catalog code",
    "data check": "finetui data check rows.jsonl",
    "data convert": "finetui data convert rows.csv --drop duplicates --to sharegpt -o clean",
    "data generate": "finetui data generate wireless --rows 50 --seed 7 -o links.csv",
    "data inspect": "finetui data inspect rows.jsonl --rows 1",
    "data mix": "finetui data mix mine.jsonl=0.7 generator:venvy=0.3 -o mixed.jsonl",
    "data split": "finetui data split rows.jsonl -o parts --eval 0.1 --test 0.1",
    "data stats": "finetui data stats rows.jsonl",
}
"""Command -> its example."""

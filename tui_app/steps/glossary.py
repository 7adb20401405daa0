"""The words of fine-tuning in two or three sentences each, for someone who meets them for the first time.

Not here: what a field of the recipe takes; that is its own sentence in `engine/recipe_sections`.
"""

from __future__ import annotations

GLOSSARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "LoRA rank (r)": (
        (
            "LoRA learns two thin matrices beside each layer instead of changing the layer. The rank is how thin: "
            "8 to 32 suit most tasks, 64 and more teach new knowledge. Twice the rank is twice the adapter, in "
            "memory and on disk."
        ),
        ("adapter.r", "ladder.min_rank"),
    ),
    "alpha": (
        (
            "What the adapter says is multiplied by alpha / rank. Alpha twice the rank is the usual start; more "
            "of it acts like a higher learning rate for the adapter."
        ),
        ("adapter.lora_alpha", "adapter.use_rslora"),
    ),
    "full, LoRA, QLoRA": (
        (
            "Full training changes every weight and needs about sixteen bytes for each. LoRA leaves the model as "
            "it is and trains a small adapter beside it. QLoRA does the same on a model that is held in 4 bits: a "
            "quarter of the memory, a little slower, hardly worse."
        ),
        ("adapter.method", "method"),
    ),
    "4-bit weights": (
        (
            "Each weight of the frozen model is rounded to one of sixteen values (nf4) with a scale for every 64. "
            "They are unpacked layer by layer while computing; the adapter itself stays exact."
        ),
        ("model.bnb_4bit_quant_type", "model.bnb_4bit_use_double_quant"),
    ),
    "DoRA": (
        (
            "Splits each adapted weight into its length and its direction and learns both. Often a little better "
            "than LoRA at the same rank; slower and larger."
        ),
        ("adapter.use_dora", "adapter.lean_dora"),
    ),
    "dropout": (
        (
            "At random, a share of what goes into the adapter is set to zero in training, so that it learns less "
            "by heart. Useful with few rows; 0 is fastest."
        ),
        ("adapter.lora_dropout",),
    ),
    "target modules": (
        (
            "Which layers get an adapter. all-linear is all of them and learns most; q_proj and v_proj alone "
            "(parts of the attention) are the smallest usual choice."
        ),
        ("adapter.target_modules",),
    ),
    "epoch": (
        (
            "One pass over all training rows. One to three are usual; with more, a model begins to recite its "
            "rows. Watch the eval loss: when it rises while the training loss falls, it was too many."
        ),
        ("training.num_train_epochs", "training.max_steps"),
    ),
    "effective batch size": (
        (
            "How many rows each change of the weights is averaged over: micro-batch times accumulation. Memory "
            "depends on the micro-batch alone, learning on the product, so 2 x 8 learns like 16 x 1."
        ),
        ("training.per_device_train_batch_size", "training.gradient_accumulation_steps"),
    ),
    "learning rate": (
        (
            "How far each step moves. Too high and the loss jumps or grows, too low and nothing is learned. About "
            "2e-4 for LoRA, ten times less for full training."
        ),
        ("training.learning_rate", "training.lr_scheduler_type", "training.warmup_steps"),
    ),
    "tokens and max_length": (
        (
            "Models read tokens, pieces of words: 100 tokens are about 75 English words. Rows longer than "
            "max_length lose their end, and memory grows with it, so set it to what nearly all rows need."
        ),
        ("training.max_length", "data.on_overflow"),
    ),
    "gradient checkpointing": (
        (
            "Instead of keeping what every layer computed until the way back, keep a little and compute the rest "
            "again. About a third slower, far less memory for activations."
        ),
        ("training.gradient_checkpointing", "training.activation_offloading"),
    ),
    "optimizer state": (
        (
            "AdamW remembers two numbers for each weight that it trains: eight bytes, or two with an 8-bit "
            "optimizer. A paged one moves them to RAM when the card is full."
        ),
        ("training.optim",),
    ),
    "train, eval and test rows": (
        (
            "Train rows are learned from. Eval rows show in between whether it learns more than those. Test rows "
            "are looked at once, at the end, so that nothing was tuned to them: only they say how good the model "
            "is."
        ),
        ("data.eval_fraction", "data.test_fraction", "data.unseen_answers"),
    ),
    "trained tokens": (
        (
            "The model reads the whole row, but is only taught to produce the trained tokens: the answer and the "
            "token that ends it. The rest is the question it is asked."
        ),
        ("data.completion_only_loss", "data.rendering", "data.template"),
    ),
    "OOM ladder": (
        (
            "What is given up, one rung after the other, when memory runs out: first what costs only time, then "
            "what changes the result, and that only if you allowed it. Nothing learned is lost on the way."
        ),
        ("ladder.enabled", "ladder.costly", "ladder.predict"),
    ),
    "safetensors, GGUF": (
        (
            "File formats for weights. safetensors is what models are trained from; GGUF is what llama.cpp and "
            "Ollama run, often rounded to a few bits."
        ),
        ("model.name_or_path", "export.to", "export.quantization"),
    ),
}
"""Per word: what it means, and the fields whose help shows it."""


def entries_for(field: str) -> tuple[tuple[str, str], ...]:
    """(word, meaning) of what a field's help explains besides its own sentence."""
    return tuple((word, meaning) for word, (meaning, fields) in GLOSSARY.items() if field in fields)

"""The words that a beginner meets in panels, reports, recipes and error texts, in two or three sentences each.

Not here: words that belong to a field of the wizard (`tui_app.steps.glossary`, shown beside the field), and what is
explained by its own text elsewhere: fields, rungs, metrics and checks (`explaining`).
"""

from __future__ import annotations

WORDS: dict[str, str] = {
    # Models and files
    "base model": "The model you start from, as its makers published it. Training an adapter never changes its files.",
    "adapter": (
        "The small matrices that LoRA trains beside a frozen base model, a few megabytes. It is the result of a run, "
        "and needs its base model to be used."
    ),
    "merged model": (
        "Base model and adapter in one model folder, as if the base itself had been trained. It is as large as the "
        "base, and runs without PEFT."
    ),
    "checkpoint": (
        "All that is needed to go on from a step: trained weights, optimizer state, random numbers, place in the rows. "
        "It is not the adapter, which is the result."
    ),
    "export": "What is made of a result for use elsewhere: a merged model, a GGUF file, an Ollama model, a notebook.",
    "artifact": "One thing that an export made. It is loaded again and held against the tuned model before it counts.",
    "agreement": "Share of rows that an artifact answers exactly as the tuned model does.",
    "k-quant": (
        "A way of llama.cpp to round weights, such as Q4_K_M: blocks of 256 share scales, and important tensors get "
        "more bits. Widths that 256 does not divide fall back to another type, which is named."
    ),
    "quantization": (
        "Rounding weights to fewer bits: to 4 for training on a small card (QLoRA), or in a GGUF file for a laptop. "
        "Smaller and a little less exact."
    ),
    "bits per weight": (
        "Size of a model file divided by its weights. It shows what a type's name hides: a Q4_K_M of a small model may "
        "have 6."
    ),
    "imatrix": (
        "An importance matrix: which weights your own rows use most, so that rounding spares them. It helps some "
        "models and types, and its effect is measured."
    ),
    "Modelfile": (
        "What Ollama is told about a model: the GGUF file, the template of a conversation, where an answer ends."
    ),
    "hub": "Hugging Face's collection of models and datasets, huggingface.co. owner/name is a model or dataset there.",
    "gated model": (
        "A model of the hub whose licence you accept on its page first, such as Gemma. Then log in on the machine with "
        "a token: hf auth login."
    ),
    "remote code": (
        "Python files shipped with a model. Loading them runs them with your rights, so they are refused unless the "
        "recipe says otherwise and you confirm the model by name."
    ),
    "bundled model": (
        "A model that comes as a Python package, so that it needs no hub: bundled:smollm2-135m-instruct. Its weights "
        "were rounded to 4 bits by the package, and are real."
    ),
    # Rows and tokens
    "chat template": (
        "The model's own rule that turns a conversation into one text, with marks for who speaks. Training and use "
        "must follow the same one."
    ),
    "system message": "A text before the conversation that says who the model is and what it does.",
    "tokenizer": ("What cuts text into the tokens that a model reads. It belongs to the model, and comes with it."),
    "pad token": (
        "A token that fills short rows up to the length of the longest. It must be another than the one that ends an "
        "answer, or a model may never learn to end."
    ),
    "end token": (
        "The token with which an answer ends (EOS, or end of turn). A model that was not taught it goes on for ever; "
        "the stop rate shows it."
    ),
    "truncation": (
        "Cutting off what lies beyond max_length. Where it cuts answers, the model learns answers without an end; the "
        "receipt counts them."
    ),
    "padding": "Filling short rows up to the longest of the batch. It costs time and memory and teaches nothing.",
    "packing": (
        "Joining whole rows into packs of up to max_length tokens, without padding. The rows of a pack never see each "
        "other."
    ),
    "split": "A part of the rows with one purpose: train, eval or test. No request stands in two of them.",
    "receipt": (
        "What a run says about its rows: how many were read, kept, cut, left out and why, with line numbers. It is "
        "kept as the dataset card."
    ),
    "generator": "A program that makes rows, such as generator:venvy. The same seed makes the same rows.",
    "instruction tuning": (
        "Training on pairs of request and answer (SFT, supervised fine-tuning). It is what finetui does; training by "
        "preference or reward is not."
    ),
    "preference training (DPO, KTO, RLHF, GRPO)": (
        "Learning from which of two answers is better, or from a reward. finetui does not do it: of a preference pair "
        "it learns the chosen answer."
    ),
    # Training
    "hyperparameter": (
        "A number that is chosen before training, such as the learning rate or the rank: a field of the recipe here."
    ),
    "autocast": (
        "Computing products in 16 bits while weights stay in 32: faster, with less memory for activations. The plan "
        "says which type."
    ),
    "step": "One update of the trained weights; it sees one effective batch.",
    "micro-batch": "The rows that go through the model at once on one device. Memory grows with it.",
    "gradient accumulation": (
        "Adding up the gradients of several micro-batches before one step. It learns like a larger batch and needs "
        "the memory of a small one; it takes as long as the micro-batches together."
    ),
    "loss": (
        "How surprised the model is by the tokens it should produce, averaged, in nats; lower is better. Compare it "
        "with the eval loss, not with other tasks."
    ),
    "eval loss": (
        "The loss on rows that are not trained on. When it rises while the training loss falls, rows are being learned "
        "by heart."
    ),
    "overfitting": (
        "Learning rows by heart instead of the task. Signs: eval loss rises, answers repeat rows. Fewer epochs, more "
        "rows or a lower rank help."
    ),
    "catastrophic forgetting": (
        "A tuned model is worse at what it was not tuned on. LoRA with few epochs forgets less than full training; "
        "score other rows to see it."
    ),
    "gradient norm (grad norm, gn)": (
        "How long the step would be before it is limited. A spike is a strange batch; no number (nan) means that the "
        "weights are about to break."
    ),
    "diverged": "The loss became no number or endless: the weights are spoiled. First try a lower learning rate.",
    "NaN": "Not a number: what comes out where a calculation overflowed. A loss of nan ends the run with exit code 11.",
    "warm-up (warmup)": (
        "The first steps, in which the learning rate rises from zero, so that the optimizer finds its scale."
    ),
    "weight decay": "Pulls trained weights a little towards zero at each step. Hardly matters for adapters.",
    "seed": "The number that random choices begin from. The same seed, rows and versions give the same run on a CPU.",
    "rsLoRA": (
        "Scales the adapter by 1/sqrt(rank) instead of 1/rank, so that high ranks learn as steadily as low ones."
    ),
    "QLoRA": (
        "LoRA on a base model that is held in 4 bits: a quarter of the weights' memory, a little slower, hardly worse."
    ),
    "NF4": (
        "The 4-bit code of QLoRA: sixteen values that suit weights spread like a bell curve, with a scale for every 64 "
        "weights."
    ),
    "double quantization": "The scales of 4-bit weights are rounded too, which saves about 0.05 bytes a weight.",
    "bf16, fp16, fp32": (
        "Numbers of 16 or 32 bits. bf16 has the range of fp32 with fewer digits, and cards from Ampere on compute in "
        "it; fp16 has a small range, so its gradients must be scaled."
    ),
    "attention kernel": "The program that computes attention on a device. Faster ones give the same up to rounding.",
    "Liger": "Kernels for NVIDIA cards that compute norms, rotary embedding and MLP with less memory traffic.",
    "8-bit optimizer": "AdamW whose state is kept in 8 bits: two bytes for each trained weight instead of eight.",
    "probe": (
        "One real step of the longest rows before step 1, with an eval batch and a save, so that too little memory "
        "shows while nothing is lost."
    ),
    # Memory
    "allocated": "What the tensors of PyTorch take on the device. The peak of it is what is predicted within 5 %.",
    "reserved": (
        "What PyTorch holds of the device to put tensors into, used or not. It depends on history, so it is given as a "
        "range."
    ),
    "device used": (
        "What the driver says is in use on the card, by everybody. On a CPU it is RAM, and mine is resident memory."
    ),
    "VRAM": "The memory on a graphics card. A process can use what the driver and other processes leave.",
    "activations": "What layers compute on the way forward and need on the way back. They grow with rows and length.",
    "peak, peak allocated": "Most memory that tensors took at once (allocated), as measured.",
    "dry run": (
        "One training step on tensors without values, by your installed libraries: it tells what will be allocated "
        "before a weight is downloaded."
    ),
    "closed form": "An estimate of memory by a formula, at once. It can be a third off; the dry run is closer.",
    "fits, tight, will not fit": (
        "The verdict on a plan. fits leaves room, tight may depend on what else uses the card, will not fit takes "
        "rungs of the ladder first."
    ),
    "calibration": "What a machine measured in earlier runs scales later predictions on it.",
    "out of memory (OOM)": "The device has no room for a tensor. finetui changes the plan by a rung and goes on.",
    # Runs
    "preset": "A named starting point that ships with finetui: one TOML file with a recipe and the machine it is for.",
    "draft": "What the wizard has gathered so far. It is kept at each step and offered again.",
    "recipe": "Everything you want from a run, complete, in one TOML file. The same recipe replays the same run.",
    "plan": "A recipe made for one machine: every number final, each with its reason, and the memory it will take.",
    "run": "One recipe carried out, in a folder and processes of its own. It outlives the terminal that started it.",
    "attempt": "One process that trains by one plan. A run has one, or more when memory ran out or it was resumed.",
    "rung": "One step of the OOM ladder: a change of the plan, with what it costs. Free rungs keep what is learned.",
    "event": "One fact about a run, one JSON line under events/. Every view and report is made of them.",
    "headless": "Without screen and questions: from a recipe, a script or CI, judged by exit code and events.",
    "exit code": (
        "The number a command ends with: 0 is done and checked, each other names a kind of fault. finetui --help lists "
        "them."
    ),
    "supervisor": "The process that owns a run: prepares rows, starts attempts, takes rungs. It loads no PyTorch.",
    "detach, attach": "Leave a run without ending it (q), and look at it again later from any terminal.",
    "replay": "Carry out a preset, a recipe or an earlier run again, without questions. Changed rows are refused.",
    "resume": "Go on with a stopped, failed or died run from its newest whole checkpoint, loss for loss.",
    "died": "Its processes are gone and left no last word; resuming goes on from the newest checkpoint.",
    "damaged": "The folder of a run cannot be read; the list says why.",
    "waiting": "In the queue: its recipe is kept as it was when it was added; later edits of the file change nothing.",
    "failed": "Its run ended with an error, which is named, or could not be started; a queue goes on with the next.",
    "sweep": "The same recipe once for each value of a field, one run after another.",
    "settled recipe": "settled.toml in a run's folder: the recipe with the rungs that were needed; it fits at once.",
    "predicted, probed, now": (
        "The peak of allocated memory as computed before, as one real step of the longest rows took it, and as "
        "measured since."
    ),
    "tok/s": "Real tokens a second; padding does not count. first after: how long it read before its first token.",
    "RSS": "Resident memory: how much RAM a process holds, libraries and all. More than the tensors alone take.",
    "EMA": "A moving average: the smoothed curve over the jumping one. EMA .9 keeps nine tenths of its last value.",
    "ETA": "How long it still takes, by the speed of the last steps. A question mark until that is known.",
    "percentile (p50, p95, p99)": "p95 of 74 tokens: 95 of 100 rows have at most 74. p50 is the middle row.",
    "lr": "The learning rate of this step. training.lr_scheduler_type says how it rises and falls over a run.",
    "data wait": "Share of the time in which the device waits for rows.",
    "marked words": "Words of an answer that the expected text does not have at that place.",
    # Scores
    "test rows that nobody looked at": (
        "Rows that are neither trained on nor used for choosing anything. Only their score says how good a model is."
    ),
    "exact match": (
        "Share of answers that are the expected text, by the part that answer_pattern takes out; normalization says "
        "what is overlooked."
    ),
    "compared": "The part of the answer that the recipe's answer_pattern takes out; blanks do not count.",
    "token F1": "How many words answer and expected text share, as the mean of precision and recall. From SQuAD.",
    "ROUGE": "Words (1), pairs of words (2) and longest common sequences (L) shared with the expected text.",
    "BLEU": "Runs of one to four words shared with the expected text, over the whole set. Made for translations.",
    "chrF": "Like BLEU with runs of letters instead of words; suits languages without spaces, and code.",
    "perplexity": (
        "e to the power of the loss: how surprised a variant is by the expected answers; 1 is not at all. Comparable "
        "between models of one tokenizer."
    ),
    "stop rate": "Share of answers that ended by themselves instead of being cut at max_new_tokens.",
    "baseline": "What a tuned model must beat: the base model as it is, and with examples of the task in the prompt.",
    "zero-shot": "The base model is asked as it is, without examples in the prompt.",
    "greedy": "Always the likeliest next token: the same question, the same answer. All scores are taken so.",
    "temperature": "How far an answer may stray from the likeliest tokens. 0 is greedy.",
    "95 % interval": "Where the score would probably lie if far more rows were asked. Few rows make it wide.",
    "paired": "Every variant answers the same rows, so rows that got better and worse are counted, not only sums.",
    "row by row": "The tuned models on the test rows that both answered, paired.",
    "sign test": (
        "How often chance alone parts better from worse rows like this (p). Below 0.05 a difference is called one."
    ),
    "better, worse": "better: the left variant was wrong there, the right one is right. worse: the other way round.",
    "variant": "One of those that answer the test rows: base, tuned, merged, or a GGUF file.",
    # Several cards
    "rank of a process": "The number of a process in a run on several cards, from 0. Not the rank of LoRA.",
    "DDP": "The whole model on each card; each works on its own rows, and gradients are averaged. Used where it fits.",
    "FSDP (sharding)": (
        "Each card holds a part of the model (FSDP2) and fetches the rest as needed. For what fits no single card."
    ),
    "torchrun": "PyTorch's starter of several processes that train together. finetui calls it for you.",
    "rendezvous": "The address at which the hosts of a run find each other: HOST:PORT of the first.",
    "compute capability": "The generation of an NVIDIA card as a number: 7.5 is a T4, 8.0 an A100, 9.0 an H100.",
}
"""Word -> its sentences. Where a screen explains a word in its help, the word is here too (a test compares)."""

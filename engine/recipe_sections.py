"""The sections of a recipe: every field with its default and the sentence that is also its help.

Spelling follows upstream (transformers, TRL, PEFT, bitsandbytes) wherever upstream has the word. Not here:
reading, writing and judging a whole recipe; that is `engine/recipe.py`.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]
# Every module of `engine.evaluation.metrics` is a word of the recipe. They are listed, not imported: what watches a run
# reads recipes too, and scores nothing.
METRICS = tuple(sorted(module.name for module in iter_modules([str(Path(__file__).parent / "evaluation" / "metrics")])))
if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[METRICS]
Normalization = Literal["lower_case", "punctuation", "articles", "white_space", "numbers"]
Baseline = Literal["zero_shot", "examples"]
EXACT_MATCH: list[Metric] = ["exact_match"]
WHITE_SPACE: list[Normalization] = ["white_space"]
ZERO_SHOT: list[Baseline] = ["zero_shot"]


class Section(BaseModel):
    """One table of the recipe. Unknown keys are faults, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`r = true` is a slip; pydantic alone would take it for 1."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        kinds |= {get_args(kind)[0] for kind in kinds if get_origin(kind) is Annotated}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise PydanticCustomError("truth_for_a_number", "input should be a number, not true or false")
        return value


class ModelSection(Section):
    """Which base model, and how its weights are held."""

    name_or_path: str = Field(
        min_length=1,
        description="Hub id (owner/name), local folder with safetensors, .gguf file, or bundled:NAME.",
    )
    revision: str | None = Field(None, description="Branch, tag or commit of a hub model; unset means its main branch.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Type of the base weights in memory; auto takes bfloat16 where the device computes in it, "
        "float16 on older cards, float32 on CPU. Always passed explicitly: TRL alone would load float32.",
    )
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2", "varlen_attn"] = Field(
        "auto",
        description="Attention kernel; auto is PyTorch's varlen_attn for joined rows on cards from compute capability "
        "8.0 on, else sdpa, which every device has.",
    )
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = Field(
        "nf4", description="4-bit code for adapter.method = qlora; nf4 suits normally distributed weights."
    )
    bnb_4bit_use_double_quant: bool = Field(
        True, description="Quantize the 4-bit scales too: 0.516 instead of 0.5625 bytes per parameter (qlora only)."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code shipped with the model. Off: such code can do anything your account can."
    )
    offline: bool = Field(False, description="Never use the network; everything must be in the local cache already.")


class DataSection(Section):
    """Which rows, how they are read, split and turned into trained tokens."""

    dataset: str = Field(
        min_length=1,
        description="File (jsonl, json, csv, tsv, parquet, arrow, txt; .gz, .zst, .zip), folder of them, hub dataset "
        "(owner/name), or generator:NAME.",
    )
    format: str = Field(
        "auto", description="Row format, for example alpaca, messages or sharegpt; auto detects it and says why."
    )
    template: str | None = Field(
        None,
        description="Builds rows from columns, as in 'Task: {text}\\nSolution: {code}'; the last field is the answer.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Renames columns before detection: the format's name = the file's column."
    )
    system: str | None = Field(None, description="System message put before conversations that have none.")
    subset: str | None = Field(None, description="Folder of a hub dataset to read, for example full.")
    split: str | None = Field(None, description="Split of a hub dataset to read: train, test, validation or all.")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub dataset.")
    generator_rows: int | None = Field(None, ge=10, description="Rows a generator makes; unset takes its own default.")
    max_rows: int | None = Field(None, ge=1, description="Read at most this many rows; unset reads all.")
    eval_dataset: str | None = Field(
        None, description="Separate rows for the loss during training, instead of a share."
    )
    test_dataset: str | None = Field(None, description="Separate rows for the final score, instead of a share.")
    eval_fraction: Share = Field(0.1, description="Share of rows kept for the loss during training (0 keeps none).")
    test_fraction: Share = Field(
        0.1, description="Share of rows nobody looks at before the final score (0 keeps none)."
    )
    unseen_answers: int = Field(
        0, ge=0, description="Distinct answers whose rows go to the test split only, to be scored apart."
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of generators and of the split; training has its own.")
    rendering: Literal["auto", "chat", "plain"] = Field(
        "auto",
        description="chat uses the model's chat template, plain joins request and answer; auto: chat if there is one.",
    )
    completion_only_loss: bool = Field(
        True, description="Train on answers only; off trains on every token of a row. Plain text always trains on all."
    )
    trained_answers: Literal["every", "last"] = Field(
        "every",
        description="Of a conversation, train every assistant turn (TRL's assistant_only_loss) or the last answer only "
        "(TRL's completion_only_loss); plain rendering has the last only.",
    )
    on_overflow: Literal["truncate", "drop", "refuse"] = Field(
        "truncate", description="What becomes of rows longer than training.max_length; the receipt counts them."
    )


class AdapterSection(Section):
    """What is trained: the whole model, or a small adapter beside it."""

    method: Literal["full", "lora", "qlora"] = Field(
        "lora", description="full trains every weight; lora a small adapter; qlora the adapter on a 4-bit base."
    )
    r: int = Field(16, ge=1, le=1024, description="Rank of the LoRA matrices; more learns more and costs more memory.")
    lora_alpha: float = Field(
        32, gt=0, description="LoRA's output is scaled by alpha / r (alpha / sqrt(r) with rsLoRA)."
    )
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapter; 0 keeps fast paths open.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="Layers that get an adapter: all-linear, or names such as q_proj and v_proj."
    )
    use_rslora: bool = Field(False, description="Scale by 1/sqrt(r), which keeps high ranks stable (rsLoRA).")
    use_dora: bool = Field(
        False, description="Learn magnitude and direction apart (DoRA): often better, slower, larger."
    )
    lean_dora: bool = Field(
        True,
        description="Compute DoRA without PEFT's identity matrix and fp32 copies: same function, less memory.",
    )


class TrainingSection(Section):
    """The optimizer steps."""

    num_train_epochs: float = Field(1.0, gt=0, description="Passes over the training rows, unless max_steps is set.")
    max_steps: int | None = Field(None, ge=1, le=10**9, description="Optimizer steps; overrides num_train_epochs.")
    per_device_train_batch_size: int = Field(
        8, ge=1, le=10**6, description="Rows per forward and backward pass on one device (micro-batch)."
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=10**6, description="Micro-batches per optimizer step; micro-batch x this = effective batch size."
    )
    per_device_eval_batch_size: int = Field(
        8, ge=1, le=10**6, description="Rows per forward pass when the eval loss is measured."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate; LoRA wants about ten times that of full.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "linear", description="How the learning rate moves over the steps that are really run."
    )
    warmup_steps: float = Field(0, ge=0, description="Steps of linear warm-up; below 1 it is a share of all steps.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    optim: Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit"] = Field(
        "adamw_torch_fused",
        description="Optimizer; the 8-bit ones keep state in 2 instead of 8 bytes per trained parameter.",
    )
    max_length: int = Field(
        1024, ge=8, le=10**7, description="Longest row in tokens; what lies beyond is data.on_overflow's business."
    )
    gradient_checkpointing: bool | Literal["auto", "selective"] = Field(
        "auto",
        description="Recompute activations in the backward pass: a third slower, far less memory. selective keeps the "
        "results of attention, which cost the most to recompute.",
    )
    activation_offloading: bool = Field(
        False, description="Keep activations in RAM between forward and backward pass (NVIDIA cards): slower, smaller."
    )
    fused_loss: bool = Field(
        True, description="Score the vocabulary in pieces; off holds all logits, up to 16 bytes per token and word."
    )
    padding_free: bool | Auto = Field(
        "auto",
        description="Join the rows of a batch without padding; they never see each other. auto: wherever the attention "
        "can keep them apart, which is on CPU and on cards from compute capability 8.0 on.",
    )
    packing: bool = Field(
        False,
        description="Join whole rows into packs of up to max_length tokens; they never see each other, and a batch "
        "counts packs. Takes joined rows (padding_free).",
    )
    train_sampling_strategy: Literal["auto", "random", "sequential", "group_by_length"] = Field(
        "auto",
        description="Order of rows. auto draws them at random and sorts those of one step by length, which changes "
        "nothing but speed; group_by_length puts rows of a length into the same step.",
    )
    use_liger_kernel: bool | Auto = Field(
        "auto", description="Liger's kernels for norms, rotary embedding and MLP (NVIDIA cards); auto: where installed."
    )
    torch_compile: bool = Field(
        False,
        description="Compile the model: minutes at the start, then a sixth faster at a fixed length (cards only).",
    )
    dataloader_num_workers: Annotated[int, Field(ge=0, le=64)] | Auto = Field(
        "auto", description="Processes that make batches ahead; rows are tokenized already, so auto takes none."
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of adapter weights, order of rows and dropout.")
    eval_steps: int | None = Field(
        None, ge=1, description="Measure the eval loss every so many steps; unset: at the end."
    )
    save_steps: int | None = Field(
        None, ge=1, le=10**9, description="Write a checkpoint every so many steps; unset: ten times over the run."
    )
    save_total_limit: int = Field(2, ge=1, description="Checkpoints kept; older ones go once a newer one is complete.")


class DistributedSection(Section):
    """More than one device, on one host or several."""

    strategy: Literal["auto", "ddp", "fsdp2", "zero3"] = Field(
        "auto",
        description="How devices share the work: ddp holds the model on each, fsdp2 a part of it; auto "
        "takes ddp where the model fits on one device. zero3 (DeepSpeed) is refused: fsdp2 divides the same.",
    )
    nproc_per_node: Annotated[int, Field(ge=1, le=1024)] | Auto = Field(
        1, description="Processes on each host, one device each; auto: every card that is visible."
    )
    nnodes: int = Field(1, ge=1, le=4096, description="Hosts that train together; the others run `finetui join`.")
    rdzv_backend: Literal["c10d", "static"] = Field(
        "c10d", description="How hosts find each other: c10d numbers them as they come, static takes their node rank."
    )
    rdzv_endpoint: str | None = Field(
        None, description="HOST:PORT of the first host, as the others reach it; unset on one host."
    )
    deepspeed: str | None = Field(None, description="A DeepSpeed JSON; refused like zero3, which alone would read it.")
    timeout_seconds: int = Field(
        300,
        ge=30,
        le=10**6,
        description="How long the processes wait for one that does nothing before the attempt ends.",
    )


class MemorySection(Section):
    """The memory the run may use."""

    limit: str | None = Field(
        None,
        description="Cap, such as 6GiB: planned for, and enforced on the device (on CPU: on top of the libraries).",
    )
    expandable_segments: bool = Field(
        False, description="Let PyTorch's pool on the card grow in place, which leaves fewer holes (NVIDIA cards)."
    )
    probe: bool = Field(
        True,
        description="Run the longest rows once, eval and save too, before step 1: too little memory shows there.",
    )


class LadderSection(Section):
    """What may be given up when memory runs out."""

    enabled: bool = Field(True, description="Change the plan and go on when memory runs out; off ends the run instead.")
    costly: list[Literal["halve_max_length", "halve_rank", "disable_dora", "only_q_and_v"]] = Field(
        default_factory=list,
        description="Rungs that change what is learned, allowed in this order after the free ones.",
    )
    min_max_length: int = Field(256, ge=8, description="halve_max_length never goes below this many tokens.")
    min_rank: int = Field(4, ge=1, description="halve_rank never goes below this rank.")
    predict: bool = Field(
        True, description="Take the first rungs predicted to be enough at once; off takes one per out-of-memory."
    )
    max_attempts: int = Field(8, ge=1, description="Attempts in all before the run ends with out of memory.")


class EvaluationSection(Section):
    """How base and tuned model are compared on the test split."""

    enabled: bool = Field(True, description="Score base and tuned model after training, on rows nobody looked at.")
    metrics: list[Metric] = Field(
        default_factory=lambda: list(EXACT_MATCH),
        min_length=1,
        description="What answers are measured by: exact_match, token_f1 and command_validity look at the part "
        "compared, the others at the whole answer; perplexity at the rows as they stand.",
    )
    normalization: list[Normalization] = Field(
        default_factory=lambda: list(WHITE_SPACE),
        description="What exact_match overlooks: lower_case, punctuation, articles (a, an, the), white_space, and how "
        "numbers are written (1,200.50 is 1200.5); [] overlooks nothing.",
    )
    answer_pattern: str | None = Field(
        None, description="Regular expression whose first group is the part compared; unset compares the whole answer."
    )
    grammar: str | None = Field(
        None,
        description="The program whose commands command_validity accepts: a TOML grammar (finetui data generate "
        "commands --grammar-out), or generator:venvy.",
    )
    run_code: bool = Field(
        False,
        description="Let code_execution run the Python code that the models write, in processes of its own without "
        "network, secrets or much memory. Off: such code can do anything your account can.",
    )
    group_pattern: str | None = Field(
        None, description="Regular expression whose first group names a row's group in the result table."
    )
    baselines: list[Baseline] = Field(
        default_factory=lambda: list(ZERO_SHOT),
        description="How the base model is asked: as is, or with one training example per group in the prompt.",
    )
    max_new_tokens: int = Field(64, ge=1, description="Longest answer generated, in tokens.")
    per_device_eval_batch_size: int = Field(32, ge=1, le=10**6, description="Rows generated at once.")
    max_rows: int | None = Field(None, ge=1, description="Score at most this many test rows; unset scores all.")


class ExportSection(Section):
    """What is made of the result besides the adapter."""

    to: list[Literal["adapter", "merged", "gguf", "ollama", "notebook"]] = Field(
        default_factory=list,
        description="Artifacts made and checked after training, in exports/; the trained result is always kept.",
    )
    quantization: Literal["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"] = Field(
        "Q8_0", description="Type of the GGUF file's tensors."
    )
    imatrix: bool = Field(False, description="Weigh GGUF rounding by an importance matrix from your own rows.")


class RunSection(Section):
    """Where the run lies."""

    name: str | None = Field(None, description="Stem of the run's name; unset takes the recipe's name.")
    root: str | None = Field(None, description="Folder that holds run folders; unset: $FINETUI_HOME/runs.")
    logging_steps: int = Field(1, ge=1, description="Optimizer steps between two lines of the live view.")

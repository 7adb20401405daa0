"""Which model families Liger has kernels for. Not here: whether it is used (`picks`)."""

LIGER_VERSION = "0.7.0"
LIGER_FAMILIES = frozenset(
    (
        *("gemma", "gemma2", "gemma3", "gemma3_text", "glm4", "glm4v", "glm4v_moe", "gpt_oss", "granite", "exaone4"),
        *("llama", "llama4", "llama4_text", "mistral", "mixtral", "mllama", "mllama_text_model", "pixtral", "llava"),
        *("olmo2", "olmo3", "paligemma", "phi3", "smollm3", "smolvlm", "falcon_h1", "internvl"),
        *("qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text", "qwen3", "qwen3_moe", "qwen3_next"),
        *("qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text", "hunyuan_v1_dense", "hunyuan_v1_moe"),
    )
)
"""Keys of MODEL_TYPE_TO_APPLY_LIGER_FN in liger_kernel.transformers.monkey_patch of that version: `model_type`s."""

"""Starts llama-cpp-python's own server: own_server.py MODEL PORT KEY."""

import sys

import llama_cpp.llama_cpp as api

DEFAULTS = api.llama_model_default_params


def without_amx() -> object:
    """What `kgt.lm.llama_engine` does, too: the kernels crash when built by GCC 12."""
    params = DEFAULTS()
    params.use_extra_bufts = b"AMX_INT8 = 1" not in api.llama_print_system_info()
    return params


if __name__ == "__main__":
    from llama_cpp.server.__main__ import main

    api.llama_model_default_params = without_amx
    model, port, key = sys.argv[1:]
    sys.argv[1:] = ["--model", model, "--port", port, "--api_key", key, "--logits_all", "true", "--n_ctx", "512"]
    main()

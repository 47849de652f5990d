"""Model folders: safetensors and JSON, checked on load, replaced atomically on save, no pickle."""

from __future__ import annotations

from llmrec.storage.models import FORMAT_VERSION, inspect_model, load_model, save_model
from llmrec.storage.values import Storable

__all__ = ["FORMAT_VERSION", "Storable", "inspect_model", "load_model", "save_model"]

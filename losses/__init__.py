"""The losses, one formula a file; every file of this folder registers its names."""

import importlib
import pkgutil

from losses.margin import Margin, Penalty, Rows, ones_like
from losses.on_embeddings import Batch, EmbeddingLoss
from losses.registry import (
    list_embedding_losses,
    list_losses,
    make_embedding_loss,
    make_margin,
    register,
    register_on_embeddings,
)
from losses.total import TotalLoss, configured_loss

__all__ = [
    "Batch",
    "EmbeddingLoss",
    "Margin",
    "Penalty",
    "Rows",
    "TotalLoss",
    "configured_loss",
    "list_embedding_losses",
    "list_losses",
    "make_embedding_loss",
    "make_margin",
    "ones_like",
    "register",
    "register_on_embeddings",
]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"losses.{_file.name}")

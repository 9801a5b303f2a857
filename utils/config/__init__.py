"""The config of a run: `load` reads it, `file` finds and executes files, `schema` and `rules` say what is allowed."""

from utils.config.load import dump_config, format_config, load_config, read_config

__all__ = ["dump_config", "format_config", "load_config", "read_config"]

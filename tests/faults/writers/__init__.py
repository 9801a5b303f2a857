"""All writers by name."""

from tests.faults.writer import Writer
from tests.faults.writers import models, pages, runs, sets

WRITERS: dict[str, Writer] = {
    writer.name: writer for module in (runs, models, sets, pages) for writer in module.WRITERS
}

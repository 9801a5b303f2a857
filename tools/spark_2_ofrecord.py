"""Make a training set (OFRecord parts) on a Spark cluster: the same bytes as tools/prepare_dataset.py makes.

python tools/spark_2_ofrecord.py faces_webface42m --out datasets/webface42m/ofrecord
python tools/spark_2_ofrecord.py /mnt/faces --out /mnt/ofrecord --master spark://host:7077
python tools/spark_2_ofrecord.py s3://bucket/faces --out s3://bucket/ofrecord --master yarn

All executors must see SOURCE and DIR at the same path; a URL goes through fsspec (HDFS, S3, ...) and names a set of
recordio. They need Python 3.10 (PYSPARK_PYTHON names it) with numpy, opencv-python-headless and tqdm, of the versions
in requirements.txt: the bytes of repaired images depend on OpenCV's; for URLs what requirements-spark.txt lists, too,
and the store's package. The project's own code is sent along.
"""

import argparse
import logging
import os
import shutil
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from data.storage import find_path, is_local, store_failures
from preparation.convert.spark import spark_context, spark_pool
from preparation.convert.to_ofrecord import Settings
from preparation.sources.formats import FORMATS, find_format
from tools.conversion import LABEL_HELP, STOPPED, add_options, run_conversion
from utils.cli import run_cli
from utils.errors import UserError


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder, a .tar or .zip, a pattern of shards, a file that lists images, or a URL",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder or URL to write the parts into")
    parser.add_argument("--format", choices=FORMATS, help="what SOURCE is (default: found out)")
    parser.add_argument("--root", type=Path, help="where the relative names of a list begin (the list's folder)")
    parser.add_argument("--label", help=LABEL_HELP)
    parser.add_argument("--master", help="Spark's (default: what spark-submit says, else all cores of this machine)")
    parser.add_argument(
        "--conf", action="append", default=[], metavar="KEY=VALUE", help="a setting of Spark; any number"
    )
    add_options(parser, on_spark=True)
    values = vars(parser.parse_args(arguments))
    source, output = (find_path(values.pop(name)) for name in ("source", "out"))
    format, master, conf = (values.pop(name) for name in ("format", "master", "conf"))
    with store_failures(source):
        format = format or find_format(source)
    if format != "recordio" and not (is_local(source) and is_local(output)):
        raise UserError(
            f"A URL can name a set of recordio; {source} ({format}) and its output must be mounted folders."
        )
    if not all("=" in each for each in conf):
        raise UserError("--conf takes KEY=VALUE, such as --conf spark.executor.memory=2g.")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise UserError("Spark needs Java 17, and there is no java here: install openjdk-17-jre-headless.")
    conf = dict(each.split("=", 1) for each in conf)
    logging.getLogger().addHandler(logging.NullHandler())  # py4j logs there what it raises, too
    os.environ.setdefault("PYSPARK_PYTHON", conf.get("spark.pyspark.python", sys.executable))
    with spark_context(master, conf) as context:
        settings = Settings(source, output, format=format, scratch=_scratch(context, output), **values)
        run_conversion(settings, partial(spark_pool, context))


def _scratch(context, output: Path) -> Path | None:
    """Where executors on other machines find the list of a folder's images: beside the output, which they see."""
    if context.master.startswith("local") or not is_local(output):
        return None
    output.parent.mkdir(parents=True, exist_ok=True)
    return output.parent


if __name__ == "__main__":
    run_cli(main, stopped=STOPPED)

"""list_backbones as a user calls it."""

import csv
import io
import json

import pytest

from tools.list_backbones import main
from utils.errors import UserError


def listed(capsys, *arguments):
    main([*arguments])
    return capsys.readouterr().out


def test_the_table(capsys):
    said = listed(capsys, "mobilenet*", "mbf", "mobilenet_v?", "--sort", "parameters")
    title, line, *rows = said.splitlines()
    assert [cell.strip() for cell in title.strip("|").split("|")] == ["network", "parameters (M)", "MACs (G)"]
    assert line.count("-:") == 2
    names = [row.split()[1] for row in rows]
    assert names == ["mobilenet_v3_small", "mbf", "mobilenet_v2", "mobilenet_v3_large", "mobilenet", "mobilenet_m1"]
    assert "1.23" in rows[0] and len({len(row) for row in (title, line, *rows)}) == 1


def test_options_and_other_images(capsys):
    small = ("mobilenet_v2(width=0.25)", "--embedding_size", "64", "--json")
    (color,), (gray,) = (
        json.loads(listed(capsys, *small, *more)) for more in ([], ["--gray", "--image_size", "96", "112"])
    )
    assert color["parameters"] - gray["parameters"] == 2 * 9 * 8 + 4 * 1280  # a map of 4x4 and one of 3x4 places
    assert color["network"] == "mobilenet_v2(width=0.25)" and color["macs"] > gray["macs"]


def test_sizes_and_times_as_csv(capsys):
    rows = list(csv.DictReader(io.StringIO(listed(capsys, "mbf_tiny", "--embedding_size", "16", "--time", "--csv"))))
    assert [*rows[0]] == ["network", "parameters", "macs", "onnx_bytes", "cpu_ms"]
    assert int(rows[0]["onnx_bytes"]) > 3 * int(rows[0]["parameters"]) and float(rows[0]["cpu_ms"]) > 0


def test_a_network_that_cannot_take_the_images_is_left_out(capsys):
    main(["mobilenet", "mobilenet_v2", "--image_size", "24", "24"])
    actual = capsys.readouterr()
    assert actual.out.count("mobilenet") == 1 and actual.err.startswith(
        "mobilenet: this network needs images of at least"
    )
    with pytest.raises(UserError, match="at least 32x32"):
        main(["mobilenet", "--image_size", "24", "24"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnext*"], "no network is named like 'resnext\\*'; there are efficientnet_b0, "),
        (["mobilenet_v2(wide=2)"], "mobilenet_v2 has no parameter wide"),
        (["mbf", "--onnx", "--image_size", "112", "96"], "for color images of 112x112"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(UserError, match=words):
        main(arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--sort", "time"], "--sort time needs --time"), (["--image_size", "0", "9"], "0 is not possible")],
)
def test_arguments_that_cannot_be(capsys, arguments, words):
    with pytest.raises(SystemExit):
        main(arguments)
    assert words in capsys.readouterr().err

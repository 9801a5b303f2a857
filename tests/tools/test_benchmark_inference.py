"""benchmark_inference as a user calls it."""

import json
from collections import Counter
from xml.etree import ElementTree

import pytest

from planning import inference
from tools.benchmark_inference import main
from utils.errors import UserError

SMALL = ("--embedding_size", "16", "--seconds", "0.01")


def test_every_head_precision_and_number_of_threads(capsys, tmp_path):
    figures, picture = tmp_path / "deep/er/speed.json", tmp_path / "speed.svg"
    networks = ("mobilenet_v3_small(width=0.25)", "mbf_ti*")
    main([*networks, "--outputs", "gdc,f", "--threads", "1,2", *SMALL, "--json", str(figures), "--plot", str(picture)])
    title, _, *rows = capsys.readouterr().out.split("\n\n")[1].strip().splitlines()
    assert [cell.strip() for cell in title.strip("|").split("|")] == [
        *("network", "precision", "ONNX (MB)", "1 thread (ms)", "2 threads (ms)")
    ]
    assert len(rows) == 9 and all(float(cell) > 0 for row in rows for cell in row.strip("|").split("|")[2:])

    report = json.loads(figures.read_text())
    assert report["machine"]["cores"] >= 1 and report["embedding_size"] == 16
    small = "mobilenet_v3_small(width=0.25, output='{}')"
    names = [small.format("gdc"), small.format("f"), "mbf_tiny"]  # the last has one head, and is there once
    actual = {(speed["network"], speed["precision"]): speed for speed in report["speeds"]}
    assert [*actual] == [(name, precision) for name in names for precision in ("fp32", "fp16", "int8")]
    assert all(speed["ms"].keys() == speed["cpu_ms"].keys() == {"1", "2"} for speed in actual.values())
    whole = actual["mbf_tiny", "fp32"]["onnx_bytes"]
    assert actual["mbf_tiny", "fp16"]["onnx_bytes"] < 0.55 * whole > 1.5 * actual["mbf_tiny", "int8"]["onnx_bytes"]

    words = [text.text for text in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert {*names, "ms, 2 thread(s)", "MB of the file", "fp16"} <= set(words)
    speeds = actual.values()
    drawn = [*(speed["ms"][threads] for threads in "12" for speed in speeds), *(s["onnx_bytes"] / 1e6 for s in speeds)]
    assert not Counter(f"{figure:.3g}" for figure in drawn) - Counter(words)  # each beside its bar


def test_int8_that_runs_in_float32_is_marked(capsys, monkeypatch):
    class InFloat(inference.OnnxEmbedder):
        def _right_session(self, content, settings):
            self.in_float32 = True
            return self._session

    monkeypatch.setattr(inference, "OnnxEmbedder", InFloat)
    main(["mbf_tiny", "--precisions", "int8,fp32", "--threads", "1", *SMALL])
    said = capsys.readouterr().out
    assert "int8 (float32)" in said and "fp32 (float32)" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnext*"], "no network is named like"),
        (["mobilenet_v2(wide=2)"], "mobilenet_v2 has no parameter wide"),
        (["no_net(width=2)", "--outputs", "e"], "no_net"),
        (["mobilenet_v2(width=0.25)", "--outputs", "gcd"], "there is no output 'gcd'; there are e, gdc, gap, f"),
        (["mbf_tiny", "--precisions", "fp32,bf16"], "'bf16' is not one of fp32, fp16, int8"),
        (["mbf_tiny", "--threads", "1,x"], "--threads 1,x is not possible"),
        (["mbf_tiny", "--seconds", "-1"], "--seconds -1.0 is not possible"),
        (["mbf_tiny", "--json", "speed.txt"], "speed.txt must end in .json"),
        (["mbf_tiny", "--plot", "speed.png"], "speed.png must end in .svg"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(UserError, match=words):
        main(arguments)


def test_a_network_that_cannot_be_made_is_left_out(capsys):
    main(["mbf_tiny", "vit_t(drop_path=2)", "--precisions", "fp32", "--threads", "1", *SMALL])
    actual = capsys.readouterr()
    assert "mbf_tiny" in actual.out and actual.err.startswith("vit_t(drop_path=2): ")

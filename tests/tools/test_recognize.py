"""tools/recognize.py from people's pictures to named faces, with small models of random weights."""

import json
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.embedder import load_embedder, model_digest
from deploy.thresholds import store_thresholds
from evaluation.align import REFERENCE, align
from evaluation.sources import read_image
from recognition.detectors.choose import load_detector
from recognition.face import Face
from recognition.gallery import Gallery
from recognition.recognizer import crop_size, recognize
from tests.deploy.models import make_model
from tests.recognition.faces import ASTRONAUT, FRIENDS, GRAY, crop, save, scene
from tests.recognition.pooled_model import write_model
from tests.recognition.yunet import write_yunet
from tools.recognize import main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "recognize.py"
NAMES = ["王小明", "Ελένη Παπαδοπούλου", "José Núñez", "Анна"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """people/NAME/{0,1}.png, party.png with NAMES in turn and a stranger, model.onnx, gallery.npz."""
    folder = tmp_path_factory.mktemp("world")
    detect = load_detector()
    clear = (person for person in range(7, 30) if all(len(detect(scene([crop(person, n)]))) == 1 for n in (0, 1)))
    seen = list(islice(clear, len(NAMES) + 1))
    for name, person in zip(NAMES, seen, strict=False):
        for number in (0, 1):
            save(folder / "people" / name / f"{number}.png", scene([crop(person, number)]))
    guests = [crop(person, number % 2) for number, person in enumerate(seen)]
    save(folder / "party.png", scene(guests))
    save(folder / "empty.png", np.full((200, 300, 3), GRAY, np.uint8))
    write_model(folder / "model.onnx")
    main(
        [
            "index",
            str(folder / "people"),
            "--model_path",
            str(folder / "model.onnx"),
            "--out",
            str(folder / "gallery.npz"),
        ]
    )
    return folder


def search(world, out, *arguments, pictures=("party.png",), gallery="gallery.npz", model="model.onnx"):
    paths = [str(world / picture) for picture in pictures]
    main(
        ["search", *paths, "--gallery", str(world / gallery), "--model_path", str(world / model), "--out", str(out)]
        + [str(argument) for argument in arguments]
    )
    return [json.loads((out / f"{Path(picture).stem}.json").read_text("utf-8")) for picture in pictures]


def test_everybody_is_found_and_named(world, tmp_path, capsys):
    (party,) = search(world, tmp_path, "--threshold", "0.85")
    assert party["picture"] == str(world / "party.png") and party["threshold"] == 0.85
    faces = party["faces"]
    assert [face["number"] for face in faces] == [1, 2, 3, 4, 5]
    assert [face["name"] for face in faces] == [*NAMES, None]
    for face, name in zip(faces, NAMES, strict=False):
        best = face["nearest"][0]
        assert (best["name"], best["score"]) == (name, face["score"])
        assert Path(best["source"]).parent == world / "people" / name
        assert face["nearest"][1]["name"] in NAMES and face["nearest"][1]["name"] != name
        assert face["score"] > face["nearest"][1]["score"]
        left, top, width, height = face["box"]
        inside = np.array(face["landmarks"]) - (left, top)
        assert inside.shape == (5, 2) and (inside > 0).all() and (inside < (width, height)).all()
    assert "王小明".encode() in (tmp_path / "party.json").read_bytes(), "as UTF-8, not escaped"
    said = capsys.readouterr().out
    assert "party.png: 王小明 (" in said and "unknown (" in said
    assert "Names with 王小明 are drawn as the face's number: DejaVuSans.ttf lacks these" in said
    drawn, original = cv2.imread(str(tmp_path / "party.found.jpg")), cv2.imread(str(world / "party.png"))
    assert drawn.shape == original.shape and (np.abs(drawn.astype(int) - original) > 60).any()


def test_scores_are_cosines_of_embeddings_with_mirror_images(world, tmp_path):
    """From the definition, on the crop that the reported landmarks give."""
    (party,) = search(world, tmp_path)
    embed, gallery = load_embedder(world / "model.onnx"), Gallery.load(world / "gallery.npz")

    def unit(picture, landmarks):
        face = align(picture, np.float32(landmarks))[None]
        row = (embed(face) + embed(face[:, :, ::-1].copy()))[0].astype(np.float64)
        return row / np.sqrt((row * row).sum())

    np.testing.assert_allclose(np.linalg.norm(gallery.embeddings, axis=1), 1, atol=1e-5)
    for face in party["faces"]:
        (known,) = load_detector()(read_image(Path(face["nearest"][0]["source"])))
        theirs = unit(read_image(Path(face["nearest"][0]["source"])), known.landmarks)
        ours = unit(read_image(world / "party.png"), face["landmarks"])
        assert face["score"] == pytest.approx(ours @ theirs, abs=1e-3)  # landmarks are rounded


def test_a_threshold_nobody_reaches(world, tmp_path):
    (party,) = search(world, tmp_path, "--threshold", "1")
    assert {face["name"] for face in party["faces"]} == {None}
    assert all(len(face["nearest"]) == 2 for face in party["faces"])


def test_the_threshold_is_that_of_the_weights_if_they_were_verified(world, tmp_path, capsys):
    (party,) = search(world, tmp_path / "a")
    assert (party["threshold"], party["threshold_from"]) == (0.363, "SFace")
    assert "was never verified, so 0.363 of another model is the threshold" in capsys.readouterr().err
    model = shutil.copy(world / "model.onnx", tmp_path / "verified.onnx")
    actual = {"cosine": 0.9999, "accuracy": 0.97, "pairs": 20, "same": 10}
    store_thresholds(model, model_digest(model), {"mine": actual})
    (party,) = search(world, tmp_path / "b", model=model)
    assert (party["threshold"], party["threshold_from"]) == (0.9999, "mine")
    assert None in {face["name"] for face in party["faces"]}
    said = capsys.readouterr()
    assert "threshold 1.000, best for these weights on mine (97.00% right)" in said.out and "warning" not in said.err
    (party,) = search(world, tmp_path / "c", "--threshold", "0.2", model=model)
    assert party["threshold_from"] == "--threshold"


def test_candidates_and_their_scores(world, tmp_path, capsys):
    (party,) = search(world, tmp_path, "--candidates", "3", "--detector_threshold", "0.4")
    assert all(len(face["nearest"]) == 3 for face in party["faces"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  face ")]
    for number, (line, face) in enumerate(zip(lines, party["faces"], strict=True), 1):
        people = ", ".join(f"{one['name']} {one['score']:.3f}" for one in face["nearest"])
        assert line == f"  face {number}: {people}"


def test_the_cascade_comes_with_a_warning(world, tmp_path, capsys):
    (report,) = search(world, tmp_path, "--detector", "cascade")
    assert report["detector"] == "cascade" and "take a fist for a face" in capsys.readouterr().err


def test_pictures_of_all_kinds(world, tmp_path, capsys):
    """Photographs from installed packages, many faces in one, and a picture without any."""
    pictures = [ASTRONAUT, FRIENDS, "empty.png"]
    astronaut, friends, empty = search(world, tmp_path, pictures=pictures)
    assert len(astronaut["faces"]) == 1 and len(friends["faces"]) == 6 and empty["faces"] == []
    assert "empty.png: no face found" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}{suffix}" for stem in ("astronaut", "t1", "empty") for suffix in (".json", ".found.jpg")
    }


def test_a_list_of_labels_and_aligned_faces(world, tmp_path):
    lines = []
    for number, name in enumerate(NAMES):
        save(tmp_path / f"{number}.png", crop(number, 0))
        lines.append(f"{number}.png\t{name}\n")
    (tmp_path / "list.txt").write_text("\ufeff" + "\n".join(lines), "utf-8")
    command = ["index", str(tmp_path / "list.txt"), "--aligned", "--out", str(tmp_path / "g.npz")]
    main([*command, "--model_path", str(world / "model.onnx")])
    gallery = Gallery.load(tmp_path / "g.npz")
    assert list(gallery.names) == NAMES and len(gallery.embeddings) == len(NAMES)
    assert gallery.about["detector"] == "none (aligned)"


def test_index_says_what_was_not_as_it_should_be(world, tmp_path, capsys):
    save(tmp_path / "people" / "a" / "nobody.png", np.full((200, 200, 3), GRAY, np.uint8))
    party = save(tmp_path / "people" / "a" / "party.png", read_image(world / "party.png"))
    save(tmp_path / "people" / "b" / "one.png", read_image(world / "people" / NAMES[0] / "0.png"))
    command = ["--model_path", str(world / "model.onnx"), "--out", str(tmp_path / "g.npz")]
    main(["index", str(tmp_path / "people"), *command])
    said = capsys.readouterr().out
    assert "g.npz: 2 people, 2 faces" in said and "nobody.png: no face" in said
    assert f"{party}: several faces; the largest was taken" in said
    with pytest.raises(UserError, match="no face is found in any of the 1 pictures"):
        main(["index", str(save(tmp_path / "x" / "p" / "0.png", np.zeros((99, 99, 3), np.uint8)).parents[1]), *command])


def test_yunet_where_a_model_is_given(world, tmp_path):
    picture = np.zeros((320, 640, 3), np.uint8)
    picture[64:96, 128:160] = 255
    save(tmp_path / "square.png", picture)
    detector = write_yunet(tmp_path / "squares.onnx")
    (report,) = search(world, tmp_path / "out", "--detector", detector, pictures=[tmp_path / "square.png"])
    (face,) = report["faces"]
    assert report["detector"] == "yunet" and face["landmarks_from"] == "detector" and face["detector_score"] == 1.0


def test_a_gallery_of_another_model_is_refused(world, tmp_path):
    make_model(tmp_path / "other", "mbf_tiny", 32)
    with pytest.raises(UserError, match=r"gallery\.npz was made with another model, .*model\.onnx, than .*other"):
        search(world, tmp_path / "out", model=tmp_path / "other")


def test_a_face_is_aligned_to_a_larger_models_size():
    assert crop_size((112, 112)) == crop_size((96, 80)) == crop_size((112, 96)) == (112, 112)
    assert crop_size((160, 128)) == (160, 128)
    shapes = []

    def embed(crops):
        shapes.append(crops.shape)
        return crops.reshape(len(crops), -1)[:, :8].astype(np.float32) + 1

    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    landmarks = (REFERENCE * 1.5 + 40).astype(np.float32)
    face = Face(np.float32([60, 60, 150, 150]), landmarks, 0.9, "measured")
    gallery = Gallery.build(np.eye(8, dtype=np.float32)[:1], ["a"], ["a.jpg"], {})
    recognize(embed, lambda _: [face], gallery, picture, 1, (160, 128))
    assert shapes == [(1, 160, 128, 3)] * 2


@pytest.fixture
def bad(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "short.txt").write_text("a.jpg\tAnna\n\nb.jpg Berta\n")
    (tmp_path / "missing.txt").write_text("\na.jpg\tAnna\n")
    save(tmp_path / "large" / "a" / "0.png", np.zeros((120, 120, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("index {bad}/nowhere --out {bad}/g.npz", "neither a folder of people nor a list at"),
        ("index {bad}/short.txt --out {bad}/g.npz", r"short\.txt, line 3: it is not a path, one tab and a name"),
        ("index {bad}/missing.txt --out {bad}/g.npz", r"missing\.txt, line 2: .*a\.jpg cannot be read: No such file"),
        ("index {bad}/large --aligned --out {bad}/g.npz", r"0\.png is 120x120 pixels, not 112x112"),
        ("index {world}/people --aligned --detector x --out {bad}/g.npz", "leave out --detector"),
        ("index {world}/people --detector {bad}/x.onnx --out {bad}/g.npz", "there is no detector at"),
        ("index {world}/people --out {bad}/g.pkl", r"give a \.npz in a folder that exists"),
        ("search {bad}/no.jpg --gallery {world}/gallery.npz --out {bad}/out", r"no\.jpg cannot be read"),
        ("search {bad}/broken.jpg --gallery {world}/gallery.npz --out {bad}/out", "is no image that decodes"),
        ("search {world}/party.png --gallery {bad}/no.npz --out {bad}/out", "there is no gallery at"),
        ("search {world}/party.png --gallery {bad}/broken.npz --out {bad}/out", "is not a gallery, or is damaged"),
        ("search {world}/party.png --gallery {world}/gallery.npz --out {bad}/out --font x", "is no font"),
        ("search {world}/party.png --gallery {world}/gallery.npz --out {bad}/out --threshold 36", "a cosine"),
        ("search {world}/party.png --gallery {world}/gallery.npz --out {bad}/broken.jpg", "cannot be made"),
        ("search {world}/party.png --gallery {world}/gallery.npz --out {bad}/out --candidates 0", "at least 1"),
        (
            "search {world}/party.png --gallery {world}/gallery.npz --out {bad}/out --detector_threshold 2",
            "between 0 and 1",
        ),
        ("search a/x.jpg b/x.png --gallery {world}/gallery.npz --out {bad}/out", "have one name for their results"),
        ("search {world}/party.png --gallery {world}/gallery.npz --out {bad}/out --model_path {bad}", "no model at"),
    ],
)
def test_mistakes(world, bad, arguments, sentence):
    command, *rest = arguments.format(world=world, bad=bad).split()
    with pytest.raises(UserError, match=sentence):
        main([command, "--model_path", str(world / "model.onnx"), *rest])
    assert not (bad / "g.npz").exists() and not list(bad.glob("out/*.json"))


def test_one_sentence_and_exit_2(world, tmp_path):
    command = [sys.executable, str(TOOL), "search", "no.jpg", "--gallery", "g.npz", "--model_path", "m", "--out", "out"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr == "error: there is no gallery at g.npz; make one with `tools/recognize.py index`\n"

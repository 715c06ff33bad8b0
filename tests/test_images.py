"""Pictures become the model's input: size, layout, channels, range, mean and deviation."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image
from test_inputs import takes

from blackbox.errors import RequestError
from blackbox.inputs import DataSpec, ImageSpec, read_dataset

RGB, GREY = takes(3, 8, 8), takes(1, 8, 8)


@pytest.fixture
def read(tmp_path):
    def go(image, signature=RGB, spec=None, name="picture.png", **save):
        image.save(tmp_path / name, **save)
        return read_dataset(tmp_path / name, signature, DataSpec(image=spec or ImageSpec())).rows["x"][0]

    return go


def colours():
    return Image.fromarray(np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3))


@pytest.mark.parametrize(("shape", "axes"), [((3, 8, 8), (2, 0, 1)), ((8, 8, 3), (0, 1, 2))])
def test_pixels_stand_where_the_layout_says(read, shape, axes):
    wanted = np.asarray(colours()).transpose(axes) / 255
    np.testing.assert_allclose(read(colours(), takes(*shape)), wanted, atol=1e-7)


def test_a_plain_plane_is_grey(read):
    assert read(Image.new("L", (8, 8), 51), takes(8, 8)).tolist() == [[np.float32(0.2)] * 8] * 8


def test_mean_deviation_and_range_apply_per_channel(read):
    spec = ImageSpec(range=(0, 255), mean=(1, 2, 3), std=(1, 2, 4))
    found = read(Image.new("RGB", (8, 8), (11, 22, 43)), spec=spec)
    np.testing.assert_allclose(found[:, 0, 0], [10, 10, 10])


def test_a_picture_of_another_size_is_fitted(read):
    assert read(Image.new("RGB", (30, 20), (255, 255, 255))).shape == (3, 8, 8)
    free = takes(3, "h", "w")
    assert read(colours(), free, ImageSpec(size=(4, 6))).shape == (3, 4, 6)
    with pytest.raises(RequestError, match="size open"):
        read(colours(), free)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_usual_mode_is_converted(read, mode):
    name = "picture.jpg" if mode == "CMYK" else "picture.png"
    found = read(Image.new(mode, (8, 8)), name=name)
    assert found.shape == (3, 8, 8)
    assert 0 <= found.min() <= found.max() <= 1


def test_a_picture_of_16_bits_keeps_its_greys(read):
    deep = Image.fromarray(np.full((8, 8), 30_000, dtype=np.uint16))
    assert read(deep, GREY).max() == pytest.approx(30_000 / 65_535, abs=0.01)


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "PNG"])
def test_every_known_suffix_is_read(read, suffix):
    assert read(Image.new("RGB", (8, 8)), name=f"picture.{suffix}").max() == 0


def test_a_folder_of_pictures_is_read_in_order_of_names(tmp_path):
    for name, shade in (("b", 1), ("a", 255), ("c", 0)):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    data = read_dataset(tmp_path, GREY)
    assert data.ids == ("a", "b", "c")
    assert data.rows["x"][:, 0, 0, 0].argmax() == 0
    assert len(data.files) == 3


def test_two_pictures_of_one_name_stay_two_cases(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
    assert len(set(read_dataset(tmp_path, GREY).ids)) == 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"mean": (0.5, 0.5)}, "mean needs 1 or 3 numbers; got 2"),
        ({"std": ()}, "std needs 1 or 3 numbers; got 0"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above zero"),
        ({"layout": "NCWH"}, "Did you mean 'NCHW'"),
        ({"layout": "NHW"}, "Layout NHW does not fit"),
        ({"layout": "NHWC"}, "8 channels"),
        ({"size": (0, 8)}, "at least 1 x 1"),
        ({"size": (4, 4)}, "needs shape (3, 8, 8), got (3, 4, 4)"),
    ],
)
def test_a_wrong_declaration_is_told(read, spec, words):
    with pytest.raises(RequestError) as told:
        read(colours(), spec=ImageSpec(**spec))
    assert words in str(told.value)


def test_a_model_that_takes_no_picture_says_so(read):
    for signature in (takes(4), takes(5, 8, 8), takes(2, 8, 8)):
        with pytest.raises(RequestError, match="picture"):
            read(colours(), signature)


def _bad(folder, kind):
    if kind == "folder":
        (folder / "bad.png").mkdir()
    elif kind in ("cut png", "cut jpg"):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        path = folder / f"bad.{kind[4:]}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:2000])
        return path
    elif kind == "gif inside":
        Image.new("RGB", (8, 8)).save(folder / "x.gif")
        (folder / "bad.png").write_bytes((folder / "x.gif").read_bytes())
    else:
        (folder / "bad.png").write_bytes(b"" if kind == "empty" else b"hello")
    return folder / "bad.png"


@pytest.mark.parametrize("kind", ["text", "empty", "cut png", "cut jpg", "gif inside", "folder"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, kind):
    path = _bad(tmp_path, kind)
    with pytest.raises(RequestError, match=r"bad"):
        read_dataset(path, RGB)


def test_a_picture_that_would_unfold_too_large_is_not_decoded(read):
    with pytest.raises(RequestError, match="7000 x 6000 pixels, too many"):
        read(Image.new("1", (7000, 6000)), GREY)


def test_a_folder_without_pictures_says_so(tmp_path):
    with pytest.raises(RequestError, match="holds no pictures"):
        read_dataset(tmp_path, RGB)


@pytest.mark.parametrize("side", [7_000, 12_000, 60_000])
def test_a_header_that_declares_a_giant_picture_is_enough_to_refuse_it(tmp_path, side):
    Image.new("L", (8, 8)).save(tmp_path / "bad.png")
    data = bytearray((tmp_path / "bad.png").read_bytes())
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(RequestError, match=r"too many to read|no readable"):
        read_dataset(tmp_path / "bad.png", GREY)

"""Tables and arrays as people really have them become rows, or are refused in words."""

from __future__ import annotations

import datetime
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from blackbox.errors import RequestError
from blackbox.inputs import DataSpec, conform, read_dataset
from blackbox.model import Signature, Tensor


def takes(*shape, dtype="float32"):
    return Signature((Tensor("x", dtype, ("n", *shape)),), (Tensor("y", "float32", ("n", 1)),), "y")


TWO = takes(2)
PAIR = Signature((Tensor("a", "float32", ("n", 1)), Tensor("b", "int64", ("n", 1))), TWO.outputs, "y")


@pytest.fixture
def csv(tmp_path):
    def read(text, signature=TWO, spec=None, encoding="utf-8"):
        (tmp_path / "rows.csv").write_bytes(text.encode(encoding))
        return read_dataset(tmp_path / "rows.csv", signature, spec)

    return read


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a,b\n1,2\n3,4\n", ("0", "1")),
        ("a,b\r\n1,2\r\n3,4\r\n", ("0", "1")),
        ("\ufeffid,a,b\nx,1,2\ny,3,4\n", ("x", "y")),
        ("id,a,b\n\nx,1,2\n\n\ny,3,4\n\n", ("x", "y")),
        (' id , a , b \n"x, ""1""", 1 ,2\na/b,3,4e0\n', ('x, "1"', "a/b")),
        ("id,a,b\nÄpfel 🍏,1,2\n../../x,3,4\n", ("Äpfel 🍏", "../../x")),
        ('id,a,b\n"two\nlines",1,2\ny,3,4\n', ("two\nlines", "y")),
        ("a,b,c,note\n1,2,9,p\n3,4,9,q\n", None),
    ],
    ids=["plain", "crlf", "bom", "blank lines", "quotes", "unicode", "newline in quotes", "too many"],
)
def test_a_csv_of_any_dialect_is_read_or_refused(csv, text, ids):
    if ids is None:
        with pytest.raises(RequestError, match=r"needs 2 columns and rows\.csv offers 3"):
            csv(text)
        return
    data = csv(text)
    assert data.ids == ids
    assert data.columns == ("a", "b")
    np.testing.assert_array_equal(data.rows["x"], np.array([[1, 2], [3, 4]], dtype=np.float32))


def test_a_column_that_is_no_input_can_be_named(csv):
    data = csv("a,b,c\n1,2,9\n", spec=DataSpec(not_inputs=("b",)))
    assert data.columns == ("a", "c")


def test_columns_are_taken_in_the_order_that_was_asked(csv):
    data = csv("b,id,a\n1,q,2\n", spec=DataSpec(columns=("a", "b"), id="id"))
    assert data.rows["x"].tolist() == [[2, 1]]
    assert data.ids == ("q",)


def test_a_model_with_one_input_per_column_takes_them_by_name(csv):
    data = csv("b,note,a\n7,q,0.5\n", PAIR)
    assert data.rows["a"].tolist() == [[0.5]]
    assert data.rows["b"].dtype == np.int64
    assert data.columns == ("a", "b")


def test_text_columns_stay_text(csv):
    data = csv("a,b\n01234,red\n", takes(2, dtype="string"))
    assert data.rows["x"].tolist() == [["01234", "red"]]


def test_rows_are_found_by_name_first_and_by_number_else(csv):
    data = csv("id,a,b\n2,1,2\nx,3,4\n", spec=DataSpec(id="id"))
    assert [data.position(which) for which in ("2", "x", "0", 1)] == [0, 1, 0, 1]
    wrong_ones = {7: "rows 0 to 1", "-1": "rows 0 to 1", "xx": "Did you mean 'x'", "1.5": "Unknown row"}
    for wrong, words in wrong_ones.items():
        with pytest.raises(RequestError, match=words):
            data.position(wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no rows"),
        ("\n\n", "holds no rows"),
        ("a,b\n", "holds no rows"),
        ("a,a\n1,2\n", "'a' stands twice"),
        ("a,b\n1,NA\n", "Column 'b' of rows.csv holds 'NA' in row 0"),
        ("a,b\n1,2\n1,\n", "Column 'b' of rows.csv holds '' in row 1"),
        ("a,b\n1,2\nnan,2\n", "Column 'a' of rows.csv holds 'nan' in row 1: values must be finite"),
        ("a,b\n1,-inf\n", "must be finite"),
        ("a,b\n1,2\n1\n", "has 1 values for 2 columns"),
        ('a,b\n"1,2\n', "cannot be read as CSV"),
        ("a;b\n1;2\n", "separates its columns by ';'"),
        ("a\n1\n", "needs 2 columns and rows.csv offers 1: a"),
        ("a,b\n1,1e39\n", "float32, which cannot hold 1e+39"),
    ],
)  # fmt: skip
def test_a_bad_csv_is_refused_in_words(csv, text, words):
    with pytest.raises(RequestError) as told:
        csv(text)
    assert words in str(told.value)


def test_other_encodings_are_refused_in_words(csv):
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(RequestError, match="cannot be read as CSV"):
            csv("näme,a,b\nü,1,2\n", encoding=encoding)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (DataSpec(columns=("a", "bb")), "'bb'. Did you mean 'b'?"),
        (DataSpec(id="idd"), "'idd'. Did you mean 'id'?"),
        (DataSpec(not_inputs=("idx",)), "'idx'. Did you mean 'id'?"),
        (DataSpec(id="twice"), "'twice' cannot name the rows"),
        (DataSpec(columns=("a", "b", "twice")), "needs 2 columns"),
    ],
)
def test_a_wrong_column_name_is_told_with_the_nearest(csv, spec, words):
    with pytest.raises(RequestError) as told:
        csv("id,twice,a,b\nx,1,1,2\ny,1,3,4\n", spec=spec)
    assert words in str(told.value)


def test_a_column_asked_for_twice_is_refused(csv):
    with pytest.raises(RequestError, match="'a'"):
        csv("a,b\n1,2\n", spec=DataSpec(columns=("a", "a")))


def test_the_line_of_a_broken_row_counts_blank_lines(csv):
    with pytest.raises(RequestError, match="Line 5 "):
        csv("a,b\n\n\n1,2\n1\n")


def test_a_whole_number_beyond_double_precision_survives_a_csv(csv):
    data = csv("a,b\n9007199254740993,2\n", takes(2, dtype="int64"))
    assert data.rows["x"].tolist() == [[9007199254740993, 2]]


def test_a_fraction_does_not_slip_into_a_whole_number_input(csv):
    with pytest.raises(RequestError, match=r"int64, which cannot hold 1\.5"):
        csv("a,b\n1.5,2\n", takes(2, dtype="int64"))


def test_inputs_of_several_columns_cannot_come_from_a_table(csv):
    wide = Signature((Tensor("a", "float32", ("n", 2)), Tensor("b", "float32", ("n", 2))), TWO.outputs, "y")
    with pytest.raises(RequestError, match="npz"):
        csv("a,b\n1,2\n3,4\n", wide)


def test_a_table_for_a_picture_model_is_refused(csv):
    with pytest.raises(RequestError, match="A table does not fit input 'x'"):
        csv("a,b\n1,2\n", takes(1, 8, 8))


PARQUET = {
    "null": (pa.table({"a": [1, None], "b": [3.0, 4.0]}), "must be finite"),
    "text": (pa.table({"a": ["1", "x"], "b": [3.0, 4.0]}), "'x' in row 1, which is no number"),
    "lists": (pa.table({"a": [[1, 2], [3]], "b": [3.0, 4.0]}), "Column 'a'"),
    "dates": (pa.table({"a": [datetime.datetime(2020, 1, 1)] * 2, "b": [3.0, 4.0]}), "Column 'a'"),
    "no rows": (pa.table({"a": [1.0], "b": [2.0]}).slice(1), "holds no rows"),
    "name twice": (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "a"),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_a_bad_parquet_column_is_refused_in_words(tmp_path, kind):
    table, words = PARQUET[kind]
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(RequestError) as told:
        read_dataset(tmp_path / "rows.parquet", TWO)
    assert words in str(told.value)


def test_parquet_gives_what_the_same_csv_gives(tmp_path):
    pq.write_table(pa.table({"id": ["x", "y"], "a": [1, 3], "b": [True, False]}), tmp_path / "rows.parquet")
    data = read_dataset(tmp_path / "rows.parquet", TWO)
    assert data.ids == ("x", "y")
    assert data.rows["x"].tolist() == [[1, 1], [3, 0]]


def test_a_suffix_in_capitals_is_the_same_suffix(tmp_path):
    pq.write_table(pa.table({"a": [1.0], "b": [2.0]}), tmp_path / "R.PARQUET")
    np.savez(tmp_path / "r.npz", x=np.ones((1, 2)))
    (tmp_path / "r.npz").rename(tmp_path / "R.NPZ")
    assert len(read_dataset(tmp_path / "R.PARQUET", TWO)) == 1
    assert len(read_dataset(tmp_path / "R.NPZ", TWO)) == 1


def test_an_array_of_the_inputs_own_rank_is_one_row(tmp_path):
    for array, count in ((np.ones(2), 1), (np.ones((3, 2)), 3)):
        np.save(tmp_path / "rows.npy", array)
        assert len(read_dataset(tmp_path / "rows.npy", TWO)) == count


def test_an_npz_holds_one_array_per_input(tmp_path):
    np.savez(tmp_path / "rows.npz", a=np.ones((3, 1)), b=np.arange(3)[:, None])
    data = read_dataset(tmp_path / "rows.npz", PAIR)
    assert data.row(2) == {"a": np.float32(1), "b": 2}
    np.savez(tmp_path / "rows.npz", anything=np.ones((3, 2)))
    assert len(read_dataset(tmp_path / "rows.npz", TWO)) == 3


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.float64(5.0), "shape"),
        (np.ones((3, 2, 2)), "needs shape (2), got (2, 2)"),
        (np.ones((3, 5)), "needs 2 columns and got 5"),
        (np.ones((0, 2)), "at least one row"),
        (np.array([[1.0, np.nan]]), "must be finite"),
        (np.array([["a", "b"]]), "needs numbers; 'a' is none"),
        (np.array([[1 + 2j, 2]]), "needs numbers"),
        (np.array([["2020-01-01", "2020-01-02"]], dtype="datetime64[D]"), "needs numbers"),
        (np.zeros(2, dtype=[("a", float), ("b", float)]), "needs numbers"),
    ],
    ids=["no axis", "rank", "columns", "empty", "nan", "text", "complex", "dates", "record"],
)
def test_a_bad_array_is_refused_in_words(tmp_path, array, words):
    np.save(tmp_path / "rows.npy", array)
    with pytest.raises(RequestError) as told:
        read_dataset(tmp_path / "rows.npy", TWO)
    assert words in str(told.value)


def test_an_npz_of_other_inputs_is_refused(tmp_path):
    np.savez(tmp_path / "rows.npz", a=np.ones((3, 1)), c=np.ones((3, 1)))
    with pytest.raises(RequestError, match="'c'"):
        read_dataset(tmp_path / "rows.npz", PAIR)
    np.savez(tmp_path / "rows.npz", a=np.ones((3, 1)))
    with pytest.raises(RequestError, match="input 'b' is missing"):
        read_dataset(tmp_path / "rows.npz", PAIR)
    np.savez(tmp_path / "rows.npz", a=np.ones((3, 1)), b=np.ones((2, 1)))
    with pytest.raises(RequestError, match="as many in every input"):
        read_dataset(tmp_path / "rows.npz", PAIR)


def _broken(folder, kind):
    np.save(folder / "good.npy", np.ones((300, 2)))
    np.savez(folder / "good.npz", x=np.ones((300, 2)))
    name, content = {
        "npy called npz": ("bad.npz", (folder / "good.npy").read_bytes()),
        "npz called npy": ("bad.npy", (folder / "good.npz").read_bytes()),
        "short npy": ("bad.npy", (folder / "good.npy").read_bytes()[:900]),
        "short npz": ("bad.npz", (folder / "good.npz").read_bytes()[:900]),
        "empty npy": ("bad.npy", b""),
        "text npz": ("bad.npz", b"hello"),
        "pickle": ("bad.npy", b""),
        "text parquet": ("bad.parquet", b"hello"),
        "other suffix": ("bad.xlsx", b"hello"),
    }[kind]
    (folder / name).write_bytes(content)
    if kind == "pickle":
        np.save(folder / name, np.array([[1, None]], dtype=object), allow_pickle=True)
    return folder / name


@pytest.mark.parametrize(
    "kind",
    ["npy called npz", "npz called npy", "short npy", "short npz", "empty npy", "text npz", "pickle",
     "text parquet", "other suffix"],
)  # fmt: skip
def test_a_broken_file_is_refused_by_name(tmp_path, kind):
    path = _broken(tmp_path, kind)
    with pytest.raises(RequestError, match=r"bad\."):
        read_dataset(path, TWO)


def test_a_missing_file_is_told_with_the_nearest(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RequestError, match=r"Did you mean 'rows\.csv'"):
        read_dataset(tmp_path / "row.csv", TWO)
    with pytest.raises(RequestError, match="does not exist either"):
        read_dataset(tmp_path / "nowhere" / "rows.csv", TWO)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([1, np.nan], "nan at position 1"),
        ([1, np.inf], "must be finite"),
        ([1, None], "must be finite"),
        ([1, "a"], "'a' is none"),
        ([[1, 2]], "without the batch axis"),
        ([1, 2, 3], "needs 2 columns and got 3"),
        (5.0, "needs shape (2)"),
        ([[1], [1, 2]], "'x'"),
        ({"y": [1, 2]}, "Unknown model input 'y'"),
        ({}, "'x' is missing"),
        ([1e39, 1], "cannot hold"),
        ([1 + 2j, 1], "needs numbers"),
    ],
    ids=["nan", "inf", "None", "text", "batch", "count", "scalar", "ragged", "name", "empty", "overflow",
         "complex"],
)  # fmt: skip
def test_one_bad_input_is_refused_in_words(x, words):
    with pytest.raises(RequestError) as told:
        conform(TWO, x)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [("uint8", 255, 256), ("int8", -128, -129), ("bool", 1, 2), ("int64", 2**53, 0.5),
     ("float16", 65504, 1e6), ("uint64", 2**63, -1)],
)  # fmt: skip
def test_a_value_that_the_dtype_cannot_hold_is_refused(dtype, good, bad):
    assert conform(takes(1, dtype=dtype), [good])["x"].tolist() == [good]
    with pytest.raises(RequestError, match="cannot hold"):
        conform(takes(1, dtype=dtype), [bad])


def test_numbers_for_a_text_input_are_refused():
    with pytest.raises(RequestError, match="needs text; 1 is none"):
        conform(takes(2, dtype="string"), [1, 2])


def npy(path, shape, descr="<f8", follow=b"\0" * 64):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + follow)
    return path


@pytest.mark.parametrize(
    ("shape", "descr", "words"),
    [
        ((2**40, 2), "<f8", "17,592,186,044,416 bytes, and 64 follow"), ((2**62, 2**62), "<f8", "and 64 follow"),
        ((-4, 2), "<f8", "declares the shape"), ((5, 2), "<f8", "80 bytes, and 64 follow"), ((1, 2), "|O", "Python objects"),
        ((4, 2), "<x9", "cannot be read"),
    ],
)  # fmt: skip
def test_nothing_is_allocated_on_a_headers_word(tmp_path, shape, descr, words):
    with pytest.raises(RequestError) as told:
        read_dataset(npy(tmp_path / "rows.npy", shape, descr), TWO)
    assert words in str(told.value)


def test_every_layout_that_numpy_writes_is_read(tmp_path):
    for number, array in enumerate([np.asfortranarray(np.arange(6.0).reshape(3, 2)), np.arange(6, dtype=">i4").reshape(3, 2),
                                    np.arange(12.0).reshape(3, 4)[:, ::2]]):  # fmt: skip
        np.save(tmp_path / "rows.npy", array)
        np.testing.assert_array_equal(read_dataset(tmp_path / "rows.npy", TWO).rows["x"], array, err_msg=str(number))


def test_an_archive_that_unfolds_too_large_is_not_unfolded(tmp_path):
    np.savez_compressed(tmp_path / "rows.npz", x=np.zeros((20_000_000, 2)))  # 320 MB in 0.3 MB
    assert (tmp_path / "rows.npz").stat().st_size < 10**6
    with pytest.raises(RequestError, match="unfolds into 320,000,"):
        read_dataset(tmp_path / "rows.npz", TWO)


def test_an_archive_of_too_many_members_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(RequestError, match="1,001 members"):
        read_dataset(tmp_path / "rows.npz", TWO)


def test_a_member_whose_header_lies_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", npy(tmp_path / "x.npy", (2**40, 2)).read_bytes())
    with pytest.raises(RequestError, match="and 64 follow"):
        read_dataset(tmp_path / "rows.npz", TWO)


def test_zip_codes_keep_their_zeros(tmp_path):
    text = Signature((Tensor("zip", "string", ("n", 1)), Tensor("age", "float32", ("n", 1))), (Tensor("y", "float32", ("n", 1)),), "y")
    (tmp_path / "rows.csv").write_text("zip,age\n01234,7\n00501,8\n")
    data = read_dataset(tmp_path / "rows.csv", text)
    assert data.rows["zip"].ravel().tolist() == ["01234", "00501"]
    assert data.rows["age"].ravel().tolist() == [7.0, 8.0]

"""Tables: CSV and TSV, Excel and Parquet; headers, labels, gaps; invalid and hostile files."""

import gzip
import io
import os
import sys
import tracemalloc
import zipfile
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scratchvae import DataError, InputError, load_data
from scratchvae.data import tables
from scratchvae.data.tables import files
from scratchvae.data.tables import read as read_module
from scratchvae.errors import DataWarning


@pytest.fixture
def read(tmp_path):
    """Write a file and read it as a table."""

    def read_content(content, name="t.csv", **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tables.read_table(path, **options)

    return read_content


def is_refused(read, content, sentence, **options):
    with pytest.raises(DataError) as error:
        read(content, **options)
    message = str(error.value)
    assert sentence in message
    assert options.get("name", "t.csv") in message
    assert "\n" not in message
    assert not message.endswith(" ...")  # the remedy is not cut off


def is_table(table, X, y=None, columns=None):
    np.testing.assert_array_equal(table.X, X)
    assert table.X.dtype == np.float64
    assert table.X.flags.writeable
    assert table.columns == columns
    if y is None:
        assert table.y is None
    else:
        assert table.y.tolist() == y


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *((f"A.b{suffix}", True) for suffix in tables.SUFFIXES),
        *(("A.CSV", True), ("A.Csv.GZ", True), ("A.XLSX", True)),
        *(("A.txt", False), ("A.csv.zip", False), ("csv", False), ("A.gz", False)),
    ],
)
def test_a_table_is_known_by_its_ending(tmp_path, name, known):
    assert tables.is_table(tmp_path / name) is known


# what is read


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b\n1,2.5\n-3e4,4\n", ("a", "b")),
        ("1,2.5\n-3e4,4\n", None),
        ("a,b\n1,2.5\n-3e4,4", ("a", "b")),  # no line end at the end
        ("\ufeffa,b\r\n1,2.5\r\n-3e4,4\r\n", ("a", "b")),
        ("\n  \n a , b \n\n1 , 2.5\n  \n-3e4,4\n , \n\n", ("a", "b")),
        ('"a","b, c"\n"1", "2.5"\n-3e4,4\n', ("a", "b, c")),
        ('a,"b\nc"\n1,2.5\n-3e4,4\n', ("a", "b\nc")),
        ("a;b\n1;2.5\n-3e4;4\n", ("a", "b")),
        ('"a,x";b\n1;2.5\n-3e4;4\n', ("a,x", "b")),
        ("a\tb\n1\t2.5\n-3e4\t4\n", ("a", "b")),
        ("Größe,b\n1,2.5\n-3e4,4\n", ("Größe", "b")),
        (",a,b\n0,1,2.5\n1,-3e4,4\n", ("a", "b")),  # pandas' index is left out
        (",a,b\n1,1,2.5\n2,-3e4,4\n", ("a", "b")),
        ("Unnamed: 0,a,b\n0,1,2.5\n1,-3e4,4\n", ("a", "b")),
    ],
)
def test_csv(read, content, columns):
    is_table(read(content), [[1, 2.5], [-3e4, 4]], columns=columns)


def test_tsv_and_gzip_are_read_by_content(read):
    tsv = "a,x\tb\n1\t2\n"
    is_table(read(tsv, "t.tsv"), [[1, 2]], columns=("a,x", "b"))
    is_table(read(gzip.compress(tsv.encode()), "t.TSV.gz"), [[1, 2]], columns=("a,x", "b"))
    is_table(read(gzip.compress(b"a,b\n1,2\n")), [[1, 2]], columns=("a", "b"))
    is_table(read("a,b\n1,2\n", "t.tsv"), [[1, 2]], columns=("a", "b"))


@pytest.mark.parametrize("name", ["t.csv.gz", "T.TSV.GZ", "t.amat.gz"])
def test_a_file_that_is_called_gz_but_is_text_is_refused(read, name):
    told = "is not gzipped: get it again, or drop .gz from its name if it is text"
    is_refused(read, "0", told, name=name)  # all that is left of a damaged file
    is_refused(read, "a,b\n1,2\n", told, name=name)
    is_refused(read, "", told, name=name)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_are_exact(read, numbers):
    is_table(read("a\n" + "\n".join(map(repr, numbers))), np.array(numbers)[:, None], None, ("a",))


def test_a_row_with_words_is_as_exact_as_others(read):
    content = "a,b\n0.1,TRUE\n0.1,False\n"
    is_table(read(content), [[0.1, 1], [0.1, 0]], columns=("a", "b"))


def test_columns_that_pandas_numbered_are_a_header(read):
    is_table(read("0,1,2\n5,6,7\n"), [[5, 6, 7]], columns=("0", "1", "2"))
    is_table(read(",0,1,2\n0,5,6,7\n"), [[5, 6, 7]], columns=("0", "1", "2"))
    is_table(read("0,1\n5,6\n"), [[0, 1], [5, 6]])  # which may as well be values
    is_table(read("0,1,3\n5,6,7\n"), [[0, 1, 3], [5, 6, 7]])


def test_memory_is_near_that_of_the_result(read, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("label," + ",".join(f"p{i}" for i in range(400)) + "\n")
    with path.open("a") as f:
        f.writelines(",".join(["7", *["123.25"] * 400]) + "\n" for _ in range(1000))
    tracemalloc.start()
    table = tables.read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert table.X.shape == (1000, 400)
    assert peak < 1.5 * table.X.nbytes


# labels


@pytest.mark.parametrize("name", ["label", "labels", "class", "target", "y", "Label", "CLASS", "Y"])
def test_labels_are_found_by_the_name_of_their_column(read, name):
    table = read(f"a,{name},b\n1,0,2\n3,1,4\n")
    is_table(table, [[1, 2], [3, 4]], [0, 1], ("a", "b"))
    assert table.y.dtype == np.int64


@pytest.mark.parametrize("label_column", ["kind", "1", 1, np.int64(1)])
def test_labels_by_name_or_number(read, label_column):
    table = read("a,kind,y\n1,cat,2\n3,a dog ,4\n", label_column=label_column)
    is_table(table, [[1, 2], [3, 4]], ["cat", "a dog"], ("a", "y"))


def test_a_name_of_digits_goes_before_a_number(read):
    is_table(read("a,0\n1,2\n", label_column="0"), [[1]], [2], ("a",))


def test_labels_beside_an_index_that_is_left_out(read):
    is_table(read(",label,a\n0,7,1\n1,8,2\n"), [[1], [2]], [7, 8], ("a",))
    is_table(read("y,a,label\n1,2,3\n", label_column="label"), [[1, 2]], [3], ("y", "a"))
    is_table(read(",a\n5,1\n5,2\n", label_column=0), [[1], [2]], [5, 5], ("a",))


def test_an_empty_name_means_no_labels(read):
    is_table(read("x,y\n1,2.5\n", label_column=""), [[1, 2.5]], columns=("x", "y"))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["1", "2.0", "-3"], [1, 2, -3]),
        (["1", "", "NA"], [1, -1, -1]),
        (["true", "False", "?"], [1, 0, -1]),
        (["1", "2.5", "3"], ["1", "2.5", "3"]),
        (["1", "2", "1e300"], ["1", "2", "1e300"]),
        (["inf", "2", "1_0"], ["inf", "2", "1_0"]),
        (["x", "1", "true"], ["x", "1", "true"]),
    ],
)
def test_labels_are_whole_numbers_or_text(read, values, labels):
    text = "label,a\n" + "".join(f"{value},5\n" for value in values)
    table = read(text, label_column="label")
    is_table(table, [[5]] * 3, labels, ("a",))
    assert table.y.dtype.kind == ("U" if isinstance(labels[0], str) else "i")


def test_fractions_are_no_labels_unless_they_are_chosen(read):
    text = "a,y\n1,0.51\n2,3\n3,x\n"
    is_refused(read, text, "has 0.51 in column 'y', whose name suggests labels: choose")
    is_table(read(text, label_column="y"), [[1], [2], [3]], ["0.51", "3", "x"], ("a",))
    is_table(read(text.replace("x", "1"), label_column=""), [[1, 0.51], [2, 3], [3, 1]], None,
             ("a", "y"))  # fmt: skip


def test_text_without_a_label_is_refused(read):
    is_refused(read, "label,a\nx,5\nNone,6\n", "has no label in line 3: only whole-number lab")


def test_a_label_has_a_limited_length(read):
    is_table(read(f"label,a\n{'x' * 200},5\n"), [[5]], ["x" * 200], ("a",))
    is_refused(
        read, f"label,a\n{'x' * 201},5\n", "a label of 201 characters in line 2, but at most 200"
    )


def test_labels_that_cannot_be_found(read):
    two = "has columns 'label', 'Y', and each could hold the labels: choose one, as in "
    is_refused(read, "label,Y,a\n1,2,3\n", two + "--label-column label (label_column='label')")
    no = "has no column 'c' for the labels: it has 'a', 'b'"
    is_refused(read, "a,b\n1,2\n", no, label_column="c")
    many = ",".join(f"n{i}" for i in range(9))
    row = ",".join("1" * 9)
    is_refused(read, f"{many}\n{row}\n", "'n7' and 1 more", label_column="c")
    no_header = "has no header, hence no column 'c': give the number of the label column, from 0"
    is_refused(read, "1,2\n", no_header, label_column="c")
    out = "has 2 columns, so the label column must be from 0 to 1, not 2"
    is_refused(read, "a,b\n1,2\n", out, label_column=2)
    is_refused(read, "a,b\n1,2\n", out, label_column="2")
    for wrong in (-1, 1.0, True):
        is_refused(read, "a,b\n1,2\n", "must be a whole number >= 0, got", label_column=wrong)
    alone = "has no column of numbers besides the labels"
    is_refused(read, "label\n1\n", alone)
    is_refused(read, ",label\n0,1\n", alone)


def test_a_first_row_of_numbers_and_text_is_a_header_only_where_that_is_certain(read):
    rows = "5.1,3.5,setosa\n4.9,3.0,setosa\n"
    unsure = "may or may not be its header: choose --header or --no-header"
    is_refused(read, rows, unsure)
    is_refused(read, rows, "--label-column 2 (label_column=2)")
    X = [[5.1, 3.5], [4.9, 3.0]]
    is_table(read(rows, label_column=2), X, ["setosa"] * 2)
    is_table(read(rows, label_column="2"), X, ["setosa"] * 2)
    header = "2019,2020,kind\n"
    is_table(read(header + rows, label_column="kind"), X, ["setosa"] * 2, ("2019", "2020"))
    header = "2019,2020,Class\n"
    is_table(read(header + rows), X, ["setosa"] * 2, ("2019", "2020"))
    is_table(read("2019,b\n1,2\n"), [[1, 2]], columns=("2019", "b"))  # text above a number
    is_refused(read, "5.1,a\n", "has a header, but no rows")
    is_refused(read, "5.1,a\n1\n", unsure)
    is_refused(read, "5.1,a\n1,\n", unsure)


YEARS = "2019,2020,2021\n17,25,13\n18,26,14\n"


@pytest.mark.parametrize("content", [YEARS, "1,2,3\n0.5,1.5,9\n", "2019,2020,2021\n1,,NA\n"])
def test_numbers_that_may_be_names_are_data_with_a_warning(read, content):
    numbered = {"missing": "mean"} if "NA" in content else {}
    told = r"t.csv begins with a row of numbers, read as data, .* choose --header or --no-h"
    with pytest.warns(DataWarning, match=told):
        table = read(content, **numbered)
    assert table.columns is None
    assert len(table.X) == content.count("\n")


def test_whether_the_first_row_names_the_columns_as_told(read):
    below = [[17, 25, 13], [18, 26, 14]]
    is_table(read(YEARS, header=True), below, columns=("2019", "2020", "2021"))
    is_table(read(YEARS, header=False), [[2019, 2020, 2021], *below])
    is_table(read("5.1,a\n4.9,b\n", header=False, label_column=1), [[5.1], [4.9]], ["a", "b"])
    is_refused(read, "a,b\n1,2\n", "'a' in line 1", header=False)
    is_refused(read, YEARS[:15], "has a header, but no rows", header=True)
    is_table(
        read(",2019,2020,2021\n0,1,5,3\n", header=True),
        [[1, 5, 3]],
        columns=("2019", "2020", "2021"),
    )


@pytest.mark.parametrize(
    "content",
    ["1,2\n9,9\n", "1,2,3\n", "1,2,3\n4,5,6\n", "1,2,3\n2,9,9\n", "1,2,4\n9,9,9\n",
     "1.0,2.0,3.0\n9,9,9\n"],
)  # fmt: skip
def test_other_first_rows_of_numbers_are_data(read, content):
    assert read(content).columns is None


# missing values, text and infinities


@pytest.mark.parametrize("word", ["", " ", "NA", "n/a", "N/A", "NaN", "-nan", "Null", "None", "?"])
def test_missing_values_are_refused_or_filled(read, word):
    content = f"a,b,label\n1,2,0\n3,{word},1\n8,5,0\n{word},5,1\n"
    is_refused(
        read,
        content,
        "has no value in line 3, column 'b' (2 missing in all): fill such gaps with --missing mean "
        "(missing='mean'), or leave out their rows",
    )
    table = read(content, missing="mean")
    is_table(table, [[1, 2], [3, 4], [8, 5], [4, 5]], [0, 1, 0, 1], ("a", "b"))


def test_means_of_huge_values_do_not_overflow(read):
    is_table(read("1e308,1\n1e308,1\n,1\n", missing="mean"), [[1e308, 1]] * 3)


def test_a_column_without_any_value_is_refused(read):
    none = "has no value at all in column 'b': leave it out with --drop b (drop='b')"
    is_refused(read, "a,b\n1,\n2,?\n", none, missing="mean")


@pytest.mark.parametrize("missing", ["max", "", True, 0])
def test_an_unknown_way_to_fill_is_refused_before_the_file_is_opened(tmp_path, missing):
    with pytest.raises(InputError, match=r"--missing \(missing=\) must be mean or left out"):
        tables.read_table(tmp_path / "none.csv", missing=missing)


@pytest.mark.parametrize("missing", [None, "mean"])
@pytest.mark.parametrize("word", ["inf", "-Infinity", "1e999"])
def test_infinities_are_refused(read, word, missing):
    told = "holds an infinity in line 4, column 'b': replace it with a number, or leave the row out"
    is_refused(read, f"a,b\n1,2\n\n3,{word}\n", told, missing=missing)


@pytest.mark.parametrize("text", ["red", "1_000", "2026-01-01", "0x10", "1,2 kg", "12:30", "-"])
def test_text_is_refused_with_its_place_and_the_remedies(read, text):
    found = f"holds '{text}' in line 3, column 'b', which is not a number: "
    choose = "choose it with --label-column b (label_column='b') if it holds labels, "
    drop = "leave it out with --drop b (drop='b'), or encode it as numbers"
    is_refused(read, f'a,b\n1,\n3,"{text}"\n', found + choose + drop)
    is_refused(read, f'a,b,y\n1,,3\n3,"{text}",3\n', found + drop)
    unnamed = "in line 2, column 1 (counted from 0), which is not a number: "
    choose = "choose it with --label-column 1 (label_column=1) if it holds labels, "
    drop = "leave it out with --drop 1 (drop=1), or encode it as numbers"
    is_refused(read, f'1,\n3,"{text}"\n', unnamed + choose + drop)


PEOPLE = """id,name,born,height,note
7001,Ann Lee,2001-02-03,1.71,
7002,Bob,2002-03-04,1.82,tall
7003,Cy,2003-04-05,1.64,"short, or so"
7004,Di,2004-05-06,1.55,short
"""


def test_all_columns_of_text_are_named_at_once(read):
    told = "holds 'Ann Lee' in line 2, column 'name', which is not a number, and text in 2 other "
    told += "columns: choose one with --label-column (label_column=) if it holds labels, "
    told += "leave these columns out with --drop name,born,note (drop=), or encode them as numbers"
    is_refused(read, PEOPLE, told)
    one = "one other column: leave these columns out with --drop 'name of a person,born' (drop=)"
    content = PEOPLE.replace("note", "y").replace("name", "name of a person")
    is_refused(read, content, one)
    is_refused(read, content.replace("born", '"the, day"'), "--drop 'name of a person,2' (drop=)")
    wide = ",".join(f"a long name {i}" for i in range(20))
    row = ",".join("x" * 20) + "\n"
    by_number = "text in 19 other columns: choose one with --label-column (label_column=) if it "
    by_number += (
        "holds labels, leave these columns out with --drop 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14"
    )
    is_refused(read, f"{wide}\n{row}", by_number)
    wide, row = (text.replace("\n", "") + f",{text}" * 4 for text in (wide, row.strip()))
    wide = ",".join(f"{name}{i}" for i, name in enumerate(wide.split(",")))
    is_refused(
        read, f"{wide}\n{row}\n", "leave these columns out with --drop (drop=), or encode them"
    )


@pytest.mark.parametrize("line", [2, 3, 30, 61])
def test_one_bad_cell_among_numbers_has_another_remedy(read, line):
    rows = [f"{i},{i}.5" for i in range(60)]
    rows[line - 2] = "1,1.5m"
    told = f"holds '1.5m' in line {line}, column 'b', where other values are numbers: correct it, "
    told += "or leave the cell empty and use --missing mean (missing='mean')"
    is_refused(read, "\n".join(["a,b", *rows]), told)


def test_columns_that_are_left_out(read, capsys):
    X, names = [[1.71], [1.82], [1.64], [1.55]], ("height",)
    for drop in (["id", "name", "born", "note"], ("0", "name", 2, np.int64(4)), "0124"):
        is_table(read(PEOPLE, drop=drop), X, None, names)
    table = read(PEOPLE, drop=("born", "id", "note"), label_column="name", verbose=True)
    is_table(table, X, ["Ann Lee", "Bob", "Cy", "Di"], names)
    assert capsys.readouterr().out.endswith("t.csv: the labels are column 'name'\n")
    is_table(read("a,label,y\n1,x,2\n", drop=["label"]), [[1]], [2], ("a",))
    is_table(read("a,y\n1,0.5\n", drop=["y"]), [[1]], None, ("a",))
    is_table(read("a,1\n5,6\n", drop=["1"]), [[5]], None, ("a",))
    is_table(read("a,a,b\n1,2,3\n", drop=[1]), [[1, 3]], None, ("a", "b"))
    is_table(read("a,a,b\n1,2,3\n", drop=["a"]), [[3]], None, ("b",))
    is_table(read("a,b,\n1,2,\n", drop=[2]), [[1, 2]], None, ("a", "b"))
    is_table(read(",a\nx,1\ny,2\n", drop=[0]), [[1], [2]], None, ("a",))
    is_table(read(",a,b\n7,1,x\n9,2,y\n", drop=["b"]), [[1], [2]], None, ("a",))


def test_text_that_is_left_out_of_a_table_without_a_header(read):
    rows = "k1,3.5,x\nk2,3.0,y\n"
    is_refused(read, rows, "or leave it out with --drop 0 (drop=0)")
    is_table(read(rows, drop=[0], label_column=2), [[3.5], [3.0]], ["x", "y"])
    is_table(read(rows, drop=["0", "2"]), [[3.5], [3.0]])
    is_table(read(f"name,2020,kind\n{rows}", drop=["name", 2]), [[3.5], [3]], None, ("2020",))


def test_columns_to_leave_out_that_are_not_there(read):
    is_refused(
        read, PEOPLE, "has no column 'hight' to drop: did you mean 'height'?", drop=["hight"]
    )
    first = "has no column '?' to drop: it has 'id', 'name', 'born', 'height', 'note'"
    is_refused(read, PEOPLE, first, drop=["?"])
    numbers = "to drop: its columns are numbered 0 to 4"
    is_refused(read, PEOPLE, f"has no column '5' {numbers}", drop=[5])
    is_refused(read, "1,2,3,4,5\n", f"has no column 'id' {numbers}", drop=["id"])
    is_refused(read, PEOPLE, "drop must be a whole number >= 0, got -1", drop=[-1])
    both = "has its labels in column 'name', which --drop (drop=) ignores: choose one of the two"
    is_refused(read, PEOPLE, both, drop=["name"], label_column=1)
    is_refused(read, "a\n1\n", "has no column of numbers besides", drop=["a"])
    left = read("a,b\n1,2\n", also_drop=["b", "id", 7])
    is_table(left, [[1]], None, ("a",))


def test_values_that_are_left_out_are_not_kept(read, tmp_path):
    rows = "".join(f"{'x' * 5000},{i}\n" for i in range(1000))
    (tmp_path / "t.csv").write_text(f"a,b\n{rows}")
    tracemalloc.start()
    tables.read_table(tmp_path / "t.csv", drop=["a"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


# decimal commas, and the numbers of rows


def test_decimal_commas_where_semicolons_separate(read, capsys):
    content = "a;b;kind\n1,5;2;1,5\n-0,25;1e3;x\n 1,5e3 ;;,\n"
    table = read(content, label_column="kind", missing="mean", verbose=True)
    is_table(table, [[1.5, 2], [-0.25, 1e3], [1500, 501]], ["1,5", "x", ","], ("a", "b"))
    told = "t.csv: values such as 1,5 are read as numbers with a decimal comma\n"
    assert told in capsys.readouterr().out
    is_table(read("1,5;2\n3;4,25\n"), [[1.5, 2], [3, 4.25]])
    is_table(read("1,5;2"), [[1.5, 2]])
    is_table(read('a;b\n"1,5";TRUE\n'), [[1.5, 1]], None, ("a", "b"))


def test_decimal_points_and_both(read, capsys):
    is_table(read("a;b\n1.5;2\n", verbose=True), [[1.5, 2]], None, ("a", "b"))
    assert capsys.readouterr().out == ""
    told = "has numbers with a comma (1,5) and with a point (1.234), and one may separate thous"
    is_refused(read, "a;b\n1,5;2\n3;1.234\n", told)
    is_refused(read, "a;b\n3;1.234\n1,5;2\n", told)
    table = read("a;day;kind\n1,5;1.2.2026;v1.0\n", drop=("day",), label_column="kind")
    is_table(table, [[1.5]], ["v1.0"], ("a",))


@pytest.mark.parametrize("text", ["a, cm;b\n1,5;2\n", "\n\na, cm;b\n\n1,5;2\n", "a, cm;b\n1;2,5\n"])
def test_commas_in_the_names_of_a_file_with_semicolons(read, text):
    assert read(text).columns == ("a, cm", "b")
    line = text.count("\n") + 1
    is_refused(read, f"{text}3;-\n", f"holds '-' in line {line}, column 'b', where other values")
    is_refused(read, f'{text}3;"4\n', f"breaks the rules of CSV in line {line} (")


def test_semicolons_in_a_file_with_commas(read):
    is_table(read("a;x,b\n1,2\n"), [[1, 2]], None, ("a;x", "b"))
    is_table(read("a;x,b\n1.5,2\n"), [[1.5, 2]], None, ("a;x", "b"))
    is_table(read("a;x,b,kind\n1,2,u;v\n", label_column="kind"), [[1, 2]], ["u;v"], ("a;x", "b"))


@pytest.mark.parametrize("text", ["1.234,5", "1,234,567", "1,234.5"])
def test_separators_of_thousands_are_no_numbers(read, text):
    told = f"holds '{text}' in line 3, column 'a': write numbers without thousands separators"
    is_refused(read, f"a;b\n1,5;2\n{text};2\n", told)


@pytest.mark.parametrize("text", ["1.234.567", "-1.234.567,5"])
def test_several_points_separate_thousands(read, text):
    told = f"holds '{text}' in line 3, column 'a': write numbers without thousands separators"
    is_refused(read, f"a;b\n5;2\n{text};2\n", told)


@pytest.mark.parametrize(
    ("content", "cell"),
    [
        ("a;b\n628;2\n2.366;3\n993;4\n", ("2.366 in line 3, column 'a'", "2366", "2,366")),
        ("a;b\n628;2\n;-1.000\n993;4\n", ("-1.000 in line 3, column 'b'", "-1000", "-1,000")),
        ("7;1.234\n", ("1.234 in line 1, column 1 (counted from 0)", "1234", "1,234")),
        ("a;b;kind\n 1.234 ;6;x\n", ("1.234 in line 2, column 'a'", "1234", "1,234")),
    ],
)
def test_points_that_may_separate_thousands_are_refused(read, content, cell):
    told = (
        f"holds {cell[0]}, beside whole numbers, so its point may separate thousands: write "
        f"{cell[1]}, or {cell[2]} if it is a fraction"
    )
    is_refused(read, content, told, drop=("kind",) if "kind" in content else ())
    if "\n2.366" in content:
        for instead, number in (("2366", 2366), ("2,366", 2.366)):
            assert read(content.replace("2.366", instead)).X[1, 0] == number
            assert read(content.replace("2.366", instead).replace("628", "628,0")).X[0, 0] == 628
        assert read(content, missing="mean", drop=("a",)).X.tolist() == [[2], [3], [4]]


@pytest.mark.parametrize(
    "rows",
    [
        ["0.125;2", "3;4"],
        ["1.125;2", "3;4", "2.5;1"],  # mixed digits, as programs write numbers
        ["1.125;2.5", "3;4"],  # where another column has decimals, these are decimals too
        ["1.125;2", "3.250;4", "8.500;1"],  # three decimals throughout
        ["1234.125;2", "3;4"],
        ["1.125e3;2", "3;4"],
        ["1.125;2.250"],
        ["012.125;2", "3;4"],
    ],
)
def test_points_that_are_decimal_are_read(read, rows):
    content = "a;b\n" + "\n".join(rows) + "\n"
    numbers = [[*map(float, row.split(";"))] for row in rows]
    is_table(read(content), numbers, None, ("a", "b"))
    is_table(read(content.replace(";", ",")), numbers, None, ("a", "b"))


def test_fractions_with_a_comma_are_no_labels_either(read):
    is_refused(read, "a;y\n1;0,51\n2;3\n", "has 0,51 in column 'y', whose name suggests labels")


def test_labels_follow_the_decimal_mark_of_the_file(read):
    is_table(read("a;y\n1,5;1,0\n2;0\n3;\n"), [[1.5], [2], [3]], [1, 0, -1], ("a",))
    is_table(read("a;y\n1.5;1.0\n2;0\n"), [[1.5], [2]], [1, 0], ("a",))
    is_table(read('a,y\n1.5,"1,0"\n2,0\n'), [[1.5], [2]], ["1,0", "0"], ("a",))
    told = "has numbers with a comma ({}) and with a point ({}), and one may separate"
    is_refused(read, "a;y\n1,5;1.000\n2;0\n", told.format("1,5", "1.000"))
    is_refused(read, "a;y\n1.5;1,0\n2;0\n", told.format("1,0", "1.5"))
    is_table(read("a;y\n1,5;v1.0\n2;0\n"), [[1.5], [2]], ["v1.0", "0"], ("a",))


@pytest.mark.parametrize("later", [b"\xff,1\n", b'"3,4\n', b"5,\0\n", b"5,6\r7,8\n"])
@pytest.mark.parametrize("between", [0, 3, 18])
def test_a_later_error_does_not_hide_the_first(read, later, between):
    content = b"a,b\n1,2\n3,x\n" + b"3,4\n" * between + later
    is_refused(read, content, "holds 'x' in line 3, column 'b', where other values are numbers")
    is_refused(read, b"a;x,b;y,c\n1,2,3\n4,5\n" + later, "should hold 3 values in each row")
    content = b"a,b,c\n1,2,3\n" + later  # in the second row, which tells whether there is a header
    is_refused(read, b"a,a,c\n" + later, "has two columns named 'a'")
    told = "is not UTF-8 text (byte 0, in line 1)" if later[0] == 255 else "line 1"
    if later[0] != 53:
        is_refused(read, later, told)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_first_column_that_numbers_the_rows_is_left_out(request, read, capsys, start, name):
    rows = [(i + start, 5.0 * i) for i in range(3)]
    content = "row,a\n" + "".join(f"{i},{x}\n" for i, x in rows)
    if name == "t.parquet":
        request.getfixturevalue("pd")
        content = parquet({"row": [i for i, _ in rows], "a": [x for _, x in rows]})
    table = read(content, name, verbose=True)
    is_table(table, [[0], [5], [10]], None, ("a",))
    told = f"{name}: left out the first column, 'row', which numbers the rows\n"
    assert capsys.readouterr().out.endswith(told)


def test_other_columns_of_that_name_are_data(read):
    for values in ((0, 2), (2, 3), (1, 0), (0, 0), (0, ""), (1,)):
        content = "row,a\n" + "".join(f"{value},5\n" for value in values)
        assert read(content, missing="mean").columns == ("row", "a")
    is_table(read("row,a\n0,5\n"), [[5]], None, ("a",))  # one row of ours
    is_table(read("a,row\n5,0\n5,1\n"), [[5, 0], [5, 1]], None, ("a", "row"))
    is_table(read("row,a\n0,5\n1,5\n", label_column="row"), [[5], [5]], [0, 1], ("a",))
    is_table(read("row,a\n0,5\n1,\n", missing="mean"), [[5], [5]], None, ("a",))
    is_refused(read, "row,label\n0,1\n1,1\n", "has no column of numbers besides the labels")
    is_refused(read, "row,a,file\n0,1,a/b.png\n", "--drop file (drop='file')")


def test_long_text_is_cut_so_that_the_remedy_is_seen(read):
    long = "x" * 5000
    number = "--label-column 0 (label_column=0) if it holds labels, leave it out with --drop 0"
    is_refused(read, f"{long},b\n{long},1\n{long},3\n", number)
    is_refused(read, f"{long},b\n1,2\n", "has no column 'y' for", label_column="y")


@pytest.mark.parametrize("text", ["1,5", "-1,234.5", "1,234,567"])
def test_decimal_commas_and_thousands_are_refused(read, text):
    told = (
        f"holds '{text}' in line 2, column 'a': write numbers with a decimal point and without "
        "thousands separators"
    )
    is_refused(read, f"a\tb\n{text}\t2\n", told)
    is_refused(read, f'a,b\n"{text}",2\n', told)


# the form of the table


@pytest.mark.parametrize(
    ("first", "separator"),
    [("sep=;", ";"), ("SEP=;;;", ";"), ('"sep=,"', ","), ("sep=|", "|"), ("sep=\t", "\t")],
)
def test_a_first_line_that_tells_the_separator(read, first, separator):
    rows = [line.replace(" ", separator) for line in ("a b", "1.5 2", "3 x")]
    content = "\r\n".join([f"\ufeff{first}", *rows, ""])
    is_refused(read, content, "holds 'x' in line 4, column 'b', where other values are numbers")
    is_table(read(content.replace("x", "4")), [[1.5, 2], [3, 4]], None, ("a", "b"))
    if separator == ";":
        is_table(read(content.replace("x", "4,5").replace("1.5", "1")), [[1, 2], [3, 4.5]], None,
                 ("a", "b"))  # fmt: skip
        told = "begins with a title, 'Liste' in line 2, above the names of its columns: delete"
        is_refused(read, content.replace("a;b", "Liste\r\na;b").replace("x", "4"), told)


@pytest.mark.parametrize(
    "title", ["Liste{0}{0}", "{0}Liste{0}", "Liste", "Liste\n\nvom 3. Mai", "Liste\n{0}{0}"]
)
@pytest.mark.parametrize("mark", [";", ",", "\t"])
def test_a_title_above_the_names_of_columns_is_to_be_deleted(read, title, mark):
    content = title.format(mark) + f"\na{mark}b{mark}kind\n1{mark}2{mark}x\n3{mark}4{mark}y\n"
    line = content.count("\n") - 2
    told = (
        "begins with a title, 'Liste' in line 1, above the names of its columns: delete everything "
        f"above line {line}"
    )
    for options in ({}, {"header": True}, {"drop": (0,)}, {"label_column": "kind"}):
        is_refused(read, content, told, **options)
    rest = "".join(content.splitlines(keepends=True)[line - 1 :])
    is_table(read(rest, label_column="kind"), [[1, 2], [3, 4]], ["x", "y"], ("a", "b"))


def test_titles_with_marks_of_their_own_and_names_of_numbers(read):
    told = "begins with a title, 'Liste, Mai' in line 1, above the names of its columns: delete ev"
    is_refused(read, "Liste, Mai\na;b;c\n1,5;2;3\n", told)
    is_refused(read, "Liste;;\n2019;2020;2021\n1;2;3\n", "begins with a title, 'Liste' in line 1")


@pytest.mark.parametrize(
    ("content", "X"),
    [
        (",a\n0,7\n1,8\n", [[7], [8]]),  # an index
        (",a,b\n0,7,8\n", [[7, 8]]),
        ("a,b\n1,2\n", [[1, 2]]),
        ("1,,\n4,5,6\n", [[1, 0, 0], [4, 5, 6]]),
        ("a\n1\n", [[1]]),
        (
            "a;b;c\n0,5;-0,25;0,75\n1,25;0,5;0,25\n-0,5;0,5;0,5\n",
            [[0.5, -0.25, 0.75], [1.25, 0.5, 0.25], [-0.5, 0.5, 0.5]],
        ),
    ],
)
def test_first_rows_that_are_no_titles(read, content, X):
    table = read(content, missing="mean", means=[0] * len(X[0]))
    assert table.X.tolist() == X


def test_a_first_row_without_values_but_with_a_label_is_no_title(read):
    table = read("x,,\ny,1,2\nx,3,4\n", label_column=0, missing="mean")
    is_table(table, [[2, 3], [1, 2], [3, 4]], ["x", "y", "x"])


def test_lines_below_one_name_keep_their_messages(read):
    is_refused(read, ",a\nanna,1\n", "has no name for its first column, which does not number")
    is_refused(read, "x\n1,5\n2,5\n", "should hold 1 values in each row, as in line 1, but holds 2")
    is_refused(read, "a,b\n1,no; not\n2,no; yes\n", "holds 'no; not' in line 2, column 'b'")


@pytest.mark.parametrize("content", ["", "\n", "\r\n \n", "\ufeff", ",,\n,,\n"])
def test_empty_files(read, content):
    is_refused(read, content, "is empty: get it again")
    is_refused(read, gzip.compress(content.encode()), "is empty: get it again", name="t.csv.gz")


def test_headers_that_are_refused(read):
    is_refused(read, "a,b\n", "has a header, but no rows: get it again")
    is_refused(read, "a,b,a\n1,2,3\n", "has two columns named 'a': rename one")
    is_refused(read, "y,y,a\n1,2,3\n", "has two columns named 'y': rename one")
    nameless = "has no name for column 2 (counted from 0): name it, or leave it out with --drop 2"
    is_refused(read, "a,b,\n1,2,\n", nameless)
    nameless = "name it, or leave it out with --drop 'Unnamed: 2' (drop='Unnamed: 2')"
    is_refused(read, "a,b,Unnamed: 2,\n1,2,3,4\n", nameless)


@pytest.mark.parametrize("index", ["x,y", ",1", "0,1_0", "1,1", "0.5,1", "inf,1"])
def test_a_nameless_first_column_numbers_the_rows_or_is_refused(read, index):
    content = ",a\n" + "".join(f"{i},5\n" for i in index.split(","))
    is_refused(read, content, "has no name for its first column, which does not number the rows")


@pytest.mark.parametrize("index", ["0,1", "1,2", "1,0", "0,2", "937,12"])
def test_the_numbers_of_rows_may_be_those_of_another_table(read, index):
    """Rows that pandas picked, sorted or shuffled keep their numbers."""
    content = ",a\n" + "".join(f"{i},5\n" for i in index.split(","))
    is_table(read(content), [[5], [5]], columns=("a",))


def test_missing_values_are_filled_with_the_means_that_a_model_learned(read):
    whole = read("a,b\n1,\n3,4\n,8\n", missing="mean")
    assert whole.means == (2, 6)
    np.testing.assert_array_equal(whole.X, [[1, 6], [3, 4], [2, 8]])
    alone = read("a,b\n1,\n", missing="mean", means=whole.means)
    np.testing.assert_array_equal(alone.X, [[1, 6]])
    assert alone.means == (2, 6)
    assert read("a,b\n1,2\n").means is None


def test_rows_of_another_length_are_named(read):
    told = "should hold 2 values in each row, as in line 2, but holds {} in line 5: is it cut off"
    is_refused(read, "\n1,2\n3,4\n\n5\n", told.format(1))
    is_refused(read, "\na,b\n3,4\n\n5,6,7\n", told.format(3))


def test_columns_are_limited(read, monkeypatch):
    monkeypatch.setattr("scratchvae.data.tables.read.MAX_COLUMNS", 3)
    is_table(read("1,2,3\n"), [[1, 2, 3]])
    is_refused(read, "1,2,3,4\n", "has 4 columns, but at most 3 are read")


# hostile files


@pytest.mark.parametrize("page", ["<!DOCTYPE html>\n<html>", "\n <HTML lang=en>\n"])
def test_web_pages(read, page):
    is_refused(read, page, "is a web page, not a table: download the raw file")


@pytest.mark.parametrize("gz", [False, True])
def test_other_encodings_are_named_by_the_byte_and_the_line(read, gz):
    def told(content, sentence):
        is_refused(read, gzip.compress(content) if gz else content, sentence)

    remedy = 'save it as UTF-8, which Excel calls "CSV UTF-8"'
    told("a,b\n1,Größe\n".encode("latin-1"), f"(byte 8, in line 2): {remedy}")
    told("a,b\n1,2\n".encode("utf-16"), f"is not UTF-8 text (byte 0, in line 1): {remedy}")
    told("a,b\n1,2\n".encode("utf-16-le"), "is binary, not text (line 1 has a zero byte)")
    told(b"a,b\n1,2\n3,\x00\n", "is binary, not text (line 3 has a zero byte)")


def test_rules_of_csv(read):
    broken = "breaks the rules of CSV in line {}"
    is_refused(read, 'a,b\n1,"2\n3,4\n', broken.format(3) + " (unexpected end of data)")
    is_refused(read, 'a,b\n"1"2,3\n', broken.format(2))
    is_refused(read, "a,b\n1," + "2" * 200_000 + "\n", broken.format(2) + " (field larger than")
    is_refused(read, "a,b\r1,2\r", "has a carriage return inside line 1: save it again with")


def test_lines_and_fields_are_limited(read):
    told = f"has more than {files.MAX_LINE:,} bytes in line 2, the limit of a line"
    is_refused(read, "a,b\n" + "1" * 10_000_000, told)
    is_refused(read, gzip.compress(b"a,b\n" + b"1" * 10_000_000), told)


def test_bombs_are_refused_and_what_compresses_well_is_read(read, monkeypatch):
    bomb = gzip.compress(b"0.000000,1\n" * 200_000)
    assert len(read(bomb).X) == 200_000
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "1000000")
    is_refused(read, bomb, "expands to more than 1,000,000 bytes: if you trust it, decompress it")
    assert len(read(b"0.000000,1\n" * 200_000).X) == 200_000


def test_every_truncation_is_a_table_or_refused(read):
    whole = b'a,"b",label\r\n1,2.5,"x, y"\r\n\n3,"4",z\n'
    assert len(read(whole).X) == 2
    read_rows = {n for n in range(len(whole)) if rows_read(read, whole[:n]) in (1, 2)}
    # cut in the last label, before it, or at the end of a row
    assert {whole.index(b"\r\n\n"), whole.index(b"\n3") + 1, len(whole) - 1} <= read_rows
    whole = gzip.compress(whole)
    for length in range(len(whole)):
        with pytest.raises(DataError):
            read(whole[:length])


def rows_read(read, content):
    try:
        table = read(content, missing="mean")
    except DataError as error:
        return 0 if "\n" not in str(error) else str(error)
    assert np.isfinite(table.X).all()
    assert min(table.X.shape) > 0
    return len(table.X)


@given(st.binary(max_size=60) | st.text(alphabet='01.,;"\n\ty_-eE?na', max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_is_a_table_or_refused(read, content):
    assert rows_read(read, content) in range(61)


def test_no_file_a_folder_a_loop_and_a_pipe(tmp_path):
    path = tmp_path / "t.csv"
    with pytest.raises(DataError, match=r"there is no file .*t\.csv: check the path"):
        tables.read_table(path)
    path.symlink_to(path)
    with pytest.raises(DataError, match=r"t\.csv cannot be read: "):
        tables.read_table(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"t\.csv cannot be read: "):
        tables.read_table(path)
    if hasattr(os, "mkfifo"):
        for name in ("p.csv", "p.xlsx", "p.parquet"):
            os.mkfifo(tmp_path / name)
            with pytest.raises(DataError, match="is not a regular file"):
                tables.read_table(tmp_path / name)


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read every file"
)
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1,2\n")
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        tables.read_table(path)


def test_what_was_decided_is_said_if_verbose(read, capsys):
    content = ",a,kind\n0,,x\n1,3,y\n"
    read(content, label_column="kind", missing="mean")
    assert capsys.readouterr().out == ""
    read(content, label_column="kind", missing="mean", verbose=True)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("t.csv: ")[2] for line in said] == [
        "left out the first column, which has no name and numbers the rows",
        "the labels are column 'kind'",
        "missing values, now the means of their columns: 1",
    ]
    read("a,b\n1,\n", missing="mean", means=(2, 6), verbose=True)
    told = "t.csv: missing values, now the means given for their columns: 1\n"
    assert capsys.readouterr().out.endswith(told)


# Excel and Parquet


@pytest.mark.parametrize(
    ("name", "absent", "sentence"),
    [
        ("t.xlsx", "openpyxl", "needs openpyxl: pip install --upgrade openpyxl"),
        ("t.parquet", "pandas", "needs pandas and pyarrow: pip install --upgrade pandas pyarrow"),
    ],
)
def test_a_package_that_is_not_installed_is_named(read, monkeypatch, name, absent, sentence):
    monkeypatch.setitem(sys.modules, absent, None)
    is_refused(read, "PAR1", sentence, name=name)


def workbook(*sheets, **named):
    """The bytes of an Excel file; each sheet a list of rows."""
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in [*((None, rows) for rows in sheets), *named.items()]:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def with_member(content, name, change):
    """A ZIP file with one member changed."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.namelist():
            text = old.read(member)
            new.writestr(member, change(text) if member == name else text)
    return changed.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def test_excel(read):
    rows = [[], ["a", "b", "label"], [1, True, "x"], [0.1, "0.25", "y"], [None, None, None], []]
    table = read(workbook(rows, []), "t.xlsx")
    is_table(table, [[1, 1], [0.1, 0.25]], ["x", "y"], ("a", "b"))
    is_table(read(workbook([[1, 2], [3, 4]]), "t.xlsx"), [[1, 2], [3, 4]])
    table = read(workbook([[None, "a"], [0, 5], [1, None]]), "t.xlsx", missing="mean")
    is_table(table, [[5], [5]], columns=("a",))


MAY, JUNE = [["a", "b"], [1, 2]], [["a", "b"], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("others", "note"),
    [
        ({"June": JUNE}, "the others ('June') are ignored: --sheet June (sheet='June')"),
        ({"Empty": [], "My notes": [["see May"]], "June": JUNE},
         "('My notes', 'June') are ignored: --sheet 'My notes' (sheet='My notes')"),
    ],
)  # fmt: skip
def test_the_sheet_that_is_read_is_said_where_there_are_others(read, others, note):
    content = workbook(May=MAY, **others)
    with pytest.warns(DataWarning) as told:
        is_table(read(content, "t.xlsx"), [[1, 2]], columns=("a", "b"))
    (said,) = told
    assert "t.xlsx reads the sheet 'May'; the others (" in str(said.message)
    assert str(said.message).endswith(note)
    # in an error too, since it may be the wrong sheet
    bad = workbook(May=[["a", "b"], [1, "x"], [2, "y"]], **others)
    is_refused(read, bad, f"{note})", name="t.xlsx")


def test_a_sheet_is_chosen_by_name_or_number(read, tmp_path):
    content = workbook(May=MAY, June=JUNE, **{"0": [["c"], [7]]})
    for sheet in ("June", 1, "1"):
        is_table(read(content, "t.xlsx", sheet=sheet), [[3, 4], [5, 6]], columns=("a", "b"))
    is_table(read(content, "t.xlsx", sheet="0"), [[7]], columns=("c",))  # a name first
    X, _ = load_data(tmp_path / "t.xlsx", "all", sheet="June")
    assert X.tolist() == [[3, 4], [5, 6]]
    is_refused(read, content, "has no sheet 'june': did you mean 'June'?", name="t.xlsx",
               sheet="june")  # fmt: skip
    is_refused(read, content, "has no sheet '3': it has 'May', 'June', '0'", name="t.xlsx", sheet=3)
    is_refused(
        read, "a\n1\n", "is not an Excel file, so --sheet (sheet=) does not apply", sheet="May"
    )
    with pytest.raises(InputError, match="sheet must be a whole number"):
        read(content, "t.xlsx", sheet=1.5)
    # where it need not be there, the first is read, and that is said
    with pytest.warns(DataWarning, match="unlike the run's file, and reads the sheet 'May'"):
        read(content, "t.xlsx", sheet="July", sheet_required=False)
    with pytest.warns(DataWarning, match=r"unlike the run's file, and reads the sheet 'May'$"):
        read(workbook(May=MAY), "t.xlsx", sheet="July", sheet_required=False)
    is_table(read("a\n1\n", sheet="July", sheet_required=False), [[1]], columns=("a",))


def test_formulas_are_looked_for_in_the_sheet_that_is_read(read):
    content = workbook(May=MAY, June=[["a", "b"], [1, "=A2*2"]])
    is_refused(read, content, FORMULA.format("B2"), name="t.xlsx", sheet="June")
    is_table(read(content, "t.xlsx", sheet="May"), [[1, 2]], columns=("a", "b"))


@pytest.mark.parametrize("first", [[], [["Notes"], ["see Data"]], [["when"], [date(2026, 1, 2)]]])
def test_a_first_sheet_without_numbers_is_refused_where_there_are_others(read, first):
    told = (
        "has no numbers in its first sheet, 'Notes', but has others ('Data'): choose one, as in "
        "--sheet Data (sheet='Data')"
    )
    is_refused(read, workbook(Notes=first, Data=MAY), told, name="t.xlsx")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "is empty"),
        ([["a", "b"], [1, None]], "has no value in row 2, column 'b' (1 missing in all)"),
        ([["a", "b"], [1, date(2026, 1, 2)]], "holds '2026-01-02 00:00:00' in row 2, column 'b'"),
        ([["Liste"], [], ["a", "b"], [1, 2]], "begins with a title, 'Liste' in row 1, above the"),
        (
            [["Liste", "am 3."], *[["a", "b", "c", "d"], [1, 2, 3, 4]]],
            "delete everything above row 2",
        ),
        ([["a", "a"], [1, 2]], "has two columns named 'a'"),
        ([["a", "b"], [1, 2, 3]], "should hold 2 values in each row, as in row 1, but holds 3 in"),
    ],
)
def test_excel_is_refused_by_the_same_rules(read, rows, sentence):
    is_refused(read, workbook(rows), sentence, name="t.xlsx")


FORMULA = "has a formula without a value in cell {}: open the file in a spreadsheet program, which"


def test_formulas_without_values_are_no_gaps(read, monkeypatch):
    rows = [["a", "b", "label"], [1, 2, "x"], [3, "=A3*2", "y"], [None, 5, "=A1"]]
    for options in ({}, {"missing": "mean"}, {"missing": "skip"}):
        is_refused(read, workbook(rows), FORMULA.format("B3"), name="t.xlsx", **options)
    is_refused(
        read, workbook(rows), FORMULA.format("C4"), name="t.xlsx", drop=("b",), missing="mean"
    )
    table = read(workbook(rows), "t.xlsx", drop=("b", "label"), missing="mean")
    is_table(table, [[1], [3], [2]], None, ("a",))
    every = [["a", "b"], *([f"={i}", "=A2"] for i in range(3))]
    is_refused(read, workbook(every), FORMULA.format("A2"), name="t.xlsx")
    is_refused(read, workbook([["a", "b"]]), "has a header, but no rows", name="t.xlsx")
    stored = with_member(workbook(rows), SHEET, stored_values)
    told = "has no value in row 3, column 'b' (2 missing in all)"  # a formula whose value is ""
    is_refused(read, stored, told, name="t.xlsx")
    is_table(read(stored, "t.xlsx", missing="mean"), [[1, 2], [3, 3.5], [2, 5]], ["x", "y", "z"],
             ("a", "b"))  # fmt: skip
    monkeypatch.setattr(read_module, "formulas_without_values", None)  # not called without gaps
    is_table(read(workbook([["a"], [1]]), "t.xlsx"), [[1]], None, ("a",))


def stored_values(text):
    for formula, value in ((b"A3*2", b""), (b"A1", b"z")):
        start = text.index(b"<f>" + formula)
        cell = text.rindex(b"<c ", 0, start)
        end = text.index(b"</c>", start)
        empty = b"<f>" + formula + b"</f><v>" + value + b"</v>"
        text = text[:cell] + text[cell:start].replace(b"<c ", b'<c t="str" ') + empty + text[end:]
    return text


def test_hostile_excel_files(read, monkeypatch):
    content = workbook([["a", "b"], [1, 2]])
    for length in range(0, len(content), 7):
        is_refused(read, content[:length], "is damaged, or another kind", name="t.xlsx")
    far = with_member(content, SHEET, lambda text: text.replace(b'r="2"', b'r="2000000000"'))
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAX_ROWS", 1000)
        is_refused(read, far, "claims more than 1,000 rows", name="t.xlsx")
    claim = with_member(content, SHEET, lambda text: text.replace(b"A1:B2", b"A1:XFD1048576"))
    assert claim != content
    is_table(read(claim, "t.xlsx"), [[1, 2]], columns=("a", "b"))
    none = with_member(content, "xl/workbook.xml", without_sheets)
    is_refused(read, none, "has no sheet with a table", name="t.xlsx")
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "4999999")
    bomb = io.BytesIO(content)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as z:
        z.writestr("xl/more.xml", b" " * 5_000_000)
    told = "bytes, more than the limit of 4,999,999: to read"
    is_refused(read, bomb.getvalue(), told, name="t.xlsx")


def without_sheets(text):
    start, end = text.index(b"<sheets>"), text.index(b"</sheets>")
    return text[:start] + b"<sheets>" + text[end:]


@pytest.fixture
def pd():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return pytest.importorskip("pandas", reason="pandas is not installed")


@pytest.fixture
def taken(pd, tmp_path):
    """Read a DataFrame by way of a Parquet file."""

    def take(columns, **options):
        path = tmp_path / "t.csv.parquet"
        pd.DataFrame(columns).to_parquet(path)
        return tables.read_table(path, **options)

    return take


def test_frames(pd, taken, capsys):
    columns = {
        "a": np.array([1, 2], np.uint8),
        "b": np.array([0.1, 2], np.float32),
        "c": [True, False],
        "d": pd.array([1, None], dtype="Int64"),
        "e": pd.Categorical(["1.5", None]),
        "label": ["x", "y"],
    }
    table = taken(columns, missing="mean", verbose=True)
    X = [[1, np.float32(0.1), 1, 1, 1.5], [2, 2, 0, 1, 1.5]]
    is_table(table, X, ["x", "y"], ("a", "b", "c", "d", "e"))
    said = capsys.readouterr().out
    assert "t.csv" in said
    assert "the labels are column 'label'" in said
    table = taken({"a": [1, 2], "kind": pd.Categorical([3, 4])}, label_column=1)
    is_table(table, [[1], [2]], [3, 4], ("a",))


def test_frames_are_refused_by_the_same_rules(pd, taken):
    dates = pd.to_datetime([None, "2026-01-02"])
    gap = "has no value in row 1 (counted from 0), column 'b' (1 missing in all)"
    is_refused(taken, {"a": [1, 2], "b": [1, np.nan]}, gap)
    text = "in row 1 (counted from 0), column 'b', which is not a number"
    is_refused(taken, {"a": [1, 2], "b": ["", "u"]}, f"holds 'u' {text}")
    is_refused(taken, {"a": [1, 2], "b": pd.Categorical([None, "u"])}, f"holds 'u' {text}")
    typing_error = "holds 'u' in row 59 (counted from 0), column 'b', where other values are"
    is_refused(taken, {"a": range(60), "b": ["1"] * 59 + ["u"]}, typing_error)
    several = "column 'b', which is not a number, and text in one other column: choose one with "
    is_refused(taken, {"a": [1, 2], "b": ["t", "u"], "c": dates}, several)
    columns = {"a": [1, 2], "b": ["t", "u"], "c": dates}
    is_table(taken(columns, drop=["c"], label_column="b"), [[1], [2]], ["t", "u"], ("a",))
    is_refused(taken, {"a": [1, 2], "b": dates}, f"holds '2026-01-02 00:00:00' {text}")
    infinity = "holds an infinity in row 0 (counted from 0), column 'a'"
    is_refused(taken, {"a": [np.inf, 2]}, infinity)
    is_refused(taken, {"a": np.zeros(0)}, "has no rows")
    is_refused(taken, {"y": [1, 2]}, "has no column of numbers besides the labels")


def parquet(columns, **options):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow.parquet import write_table

    content = io.BytesIO()
    write_table(pyarrow.table(columns), content, **options)
    return content.getvalue()


def test_hostile_parquet_files(read, pd, monkeypatch):
    content = parquet({"a": [1.0, 2.0]})
    is_table(read(content, "t.parquet"), [[1], [2]], columns=("a",))
    for length in range(0, len(content), 7):
        is_refused(read, content[:length], "is damaged, or another kind", name="t.parquet")
    lists = "holds lists or records ('b.list.element'), not a value for each row and column"
    is_refused(read, parquet({"a": [1.0], "b": [[2.0]]}), lists, name="t.parquet")
    records = "holds lists or records ('b.c'), not"
    is_refused(read, parquet({"a": [1.0], "b": [{"c": 2.0}]}), records, name="t.parquet")

    def no_version(*args, **options):
        raise ImportError("pandas requires another pyarrow")

    with monkeypatch.context() as patch:
        patch.setattr(pd, "read_parquet", no_version)
        is_refused(read, content, "needs pandas and pyarrow: pip", name="t.parquet")


def test_parquet_that_expands(read, pd, monkeypatch):
    many = parquet({"a": np.zeros(200_000)}, compression="zstd")
    assert len(read(many, "t.parquet").X) == 200_000
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "1599999")
    told = "expands to 1,600,000 bytes, more than the limit of 1,599,999: to read it, set"
    is_refused(read, many, told, name="t.parquet")


def test_one_long_text_in_each_row_of_parquet_is_kept_once(read, pd):
    text = ["x" * 200_000] * 300
    content = parquet({"a": np.zeros(300), "b": text}, compression="zstd")
    assert len(content) < 100_000
    tracemalloc.start()
    is_refused(read, content, "has a label of 200,000", name="t.parquet", label_column="b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_the_claim_of_parquet_counts_values_of_a_fixed_length(read, pd, monkeypatch):
    import pyarrow

    wide = pyarrow.array([b"x" * 20_000] * 300, pyarrow.binary(20_000))
    monkeypatch.setenv("SCRATCHVAE_MAX_BYTES", "5999999")
    content = parquet({"a": wide}, compression="zstd")
    is_refused(read, content, "expands to 6,000,000 bytes, more than", name="t.parquet")


def test_errors_of_pyarrow_are_refused(read, pd, monkeypatch):
    import pyarrow

    def fail(*args, **options):
        raise pyarrow.ArrowException("a column is damaged")

    monkeypatch.setattr(pd, "read_parquet", fail)
    content = parquet({"a": [1.0]})
    is_refused(read, content, "is damaged, or another kind of file: get it again", name="t.parquet")


def test_blank_cells_at_the_end_of_a_row_of_excel_are_no_columns(read):
    table = read(workbook([["a", "b", " "], [1, 2, None, " "]]), "t.xlsx")
    is_table(table, [[1, 2]], columns=("a", "b"))


# ------------------------------------------------------------------------ what newcomers bring


def test_a_row_of_separators_between_others_is_a_row_without_values(tmp_path):
    """As pandas has it, so that row numbers agree; at the end, and before the names, it is none."""
    path = tmp_path / "blank.csv"
    path.write_text(",,\na,b,c\n1,2,3\n,,\n\n4,5,6\n,,\n,,\n")
    X, _ = load_data(path, "all", missing="mean")
    assert X.tolist() == [[1, 2, 3], [2.5, 3.5, 4.5], [4, 5, 6]]
    with pytest.raises(DataError, match="has no value in line 4, column 'a'"):
        load_data(path, "all")


def test_an_id_that_is_not_left_out_is_named(tmp_path):
    path = tmp_path / "ids.csv"
    rows = [f"{2 * i + 7000},{(i * 37) % 11}" for i in range(30)]
    for name in ("id", "Sensor ID", "order_no"):
        path.write_text("\n".join([f"{name},height", *rows]))
        told = f"column '{name}' seems to number the rows, from 7000 to 7058: leave it out with"
        with pytest.warns(DataWarning, match=told):
            load_data(path)
    path.write_text("\n".join(["id,height", *rows, rows[0]]))
    load_data(path)
    path.write_text("\n".join(["humid,height", *rows]))
    load_data(path)


def test_a_row_of_units_may_be_deleted(tmp_path):
    path = tmp_path / "units.csv"
    path.write_text("temp,pressure\n°C,hPa\n" + "20.5,1000\n" * 30)
    with pytest.raises(DataError, match=r"if the row is not data \(units, for example\), delete"):
        load_data(path)

"""Counters in a mapped file: what the worker counts, the courier reads, also while it counts and after it died."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counters.cells import LIMIT, Cells, read_cells


def test_what_is_counted_is_read_by_name_at_once(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells", ("a", "b"))
    cells.values[cells.index("b")] += 2
    cells.add("a")
    cells.add("b", 3)
    assert read_cells(tmp_path / "cells") == {"a": 1, "b": 5}
    assert cells.snapshot() == struct.pack("<qq", 1, 5)


def test_the_file_is_laid_out_as_its_table_says(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells", ("a", "é"))
    cells.add("é", -7)
    raw = (tmp_path / "cells").read_bytes()
    assert raw[:20] == b"TURNCEL\0" + struct.pack("<HHI", 1, 2, 4) + b"a\n\xc3\xa9"
    assert raw[8192:] == struct.pack("<qq", 0, -7)


def test_the_cells_of_a_worker_are_not_overwritten_by_another(tmp_path: Path) -> None:
    Cells(tmp_path / "cells", ("a",)).add("a")
    with pytest.raises(FileExistsError):
        Cells(tmp_path / "cells", ("a",))
    assert read_cells(tmp_path / "cells") == {"a": 1}


def test_no_cells_and_the_most_cells_are_read_back(tmp_path: Path) -> None:
    Cells(tmp_path / "none", ())
    assert read_cells(tmp_path / "none") == {}
    names = tuple(f"refused.path.reason_{number}" for number in range(LIMIT))
    Cells(tmp_path / "most", names)
    assert tuple(read_cells(tmp_path / "most")) == names


@pytest.mark.parametrize("names", [("a", "a"), ("a\nb",), ("",), tuple(map(str, range(LIMIT + 1))), ("x" * 8192,)])
def test_names_that_could_not_be_read_back_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cells"):
        Cells(tmp_path / "cells", names)
    assert not (tmp_path / "cells").exists()


@given(st.data())
def test_a_file_cut_short_or_changed_is_read_as_cells_or_refused_by_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cells") / "cells"
    Cells(path, ("a", "b", "c"))
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, 40))] ^= data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.sampled_from((0, 7, 16, 8191, 8192, 8193, 8200, 8215, 8216)))])
    with contextlib.suppress(ValueError):
        assert len(read_cells(path)) == 3

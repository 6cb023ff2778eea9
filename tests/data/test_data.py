"""Data sets: the bundled digits, IDX files of any kind, and messages when something is missing."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from slth import data
from slth.errors import DataError, InputError

# SHA-256 of the decompressed MNIST files, as everyone has them.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
Bytes = npt.NDArray[np.uint8]
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array: npt.NDArray[Any]) -> bytes:
    """An array as an IDX file: magic number, big-endian sizes, big-endian data."""
    code = CODES[array.dtype.str[1:] if array.dtype.itemsize == 1 else array.dtype.str]
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of five 3×4 training and two test images: one raw, one gzipped."""
    rng = np.random.default_rng(0)
    where = tmp_path / "tiny"
    where.mkdir()
    for prefix, count, pack, end in (("train", 5, bytes, ""), ("t10k", 2, gzip.compress, ".gz")):
        images, labels = rng.integers(0, 256, (count, 3, 4), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8)
        (where / f"{prefix}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (where / f"{prefix}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return where


def test_digits_are_split_into_disjoint_parts() -> None:
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test)) == (1348, 449)
    assert train.images.shape == (1348, 1, 8, 8)
    assert train.images.dtype == torch.float32
    assert test.labels.dtype == torch.int64
    for split in (train, test):
        assert split.images.min() == 0
        assert split.images.max() == 1
        assert split.labels.unique().tolist() == list(range(10))
    seen = {image.numpy().tobytes() for image in train.images}
    assert len(seen) == len(train)
    assert not any(image.numpy().tobytes() in seen for image in test.images)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3)])
def test_idx_files_are_read_as_written(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, pack: Callable[[bytes], bytes]
) -> None:
    array = (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)
    (tmp_path / "x").write_bytes(pack(idx(array)))
    again = data.read_idx(tmp_path / "x")
    assert again.shape == shape
    assert again.dtype == np.dtype(dtype)
    assert (again == array).all()


def test_a_folder_is_loaded_by_path_and_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_path = data.load(str(folder), "train")
    assert by_path.images.shape == (5, 1, 3, 4)
    raw = data.read_idx(folder / "train-images-idx3-ubyte")
    assert (by_path.images[:, 0].numpy() == raw.astype(np.float32) / np.float32(255)).all()
    monkeypatch.setenv("SLTH_DATA", str(folder.parent))
    assert data.data_folder() == folder.parent
    by_name = data.load("tiny", "test")
    assert len(by_name) == 2
    assert (by_name.labels == data.load(str(folder), "test").labels).all()
    assert set(data.available()) == {"digits", "tiny"}
    assert "t10k-images-idx3-ubyte.gz" in data.available()["tiny"]


def test_a_folder_with_one_pair_has_one_split(folder: Path, tmp_path: Path) -> None:
    single = tmp_path / "single"
    single.mkdir()
    for kind in ("images-idx3", "labels-idx1"):
        (single / f"{kind}-ubyte").write_bytes((folder / f"train-{kind}-ubyte").read_bytes())
    assert (data.load(str(single), "train").images == data.load(str(single), "test").images).all()


def test_truncated_files_are_named(folder: Path) -> None:
    raw = (folder / "train-images-idx3-ubyte").read_bytes()
    packed = gzip.compress(raw)
    path = folder / "cut"
    for whole in (raw, packed):
        for length in range(0, len(whole) - 1, 3):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match="cut is not a whole IDX file"):
                data.read_idx(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(DataError, match="cut"):
        data.read_idx(path)


@pytest.mark.parametrize(
    "start", [b"\x01\x00\x08\x01", b"\x00\x00\x07\x01", b"\x89PNG", b"PK\x03\x04", b"\x1f\x8b\x08\x00"]
)
def test_files_of_another_kind_are_named(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "other").write_bytes(start + bytes(40))
    with pytest.raises(DataError, match="other is not a whole IDX file"):
        data.read_idx(tmp_path / "other")


def test_a_header_that_promises_more_than_memory_is_only_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
    with pytest.raises(DataError, match="huge"):
        data.read_idx(tmp_path / "huge")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no ../shared/data is
    monkeypatch.delenv("SLTH_DATA", raising=False)
    assert data.data_folder() is None
    assert set(data.available()) == {"digits"}
    with pytest.raises(DataError, match="'mnist' found because SLTH_DATA is not set"):
        data.load("mnist")
    monkeypatch.setenv("SLTH_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="gone"):
        data.load("mnist")
    assert set(data.available()) == {"digits"}
    with pytest.raises(DataError, match="images-idx3-ubyte"):
        data.load(str(tmp_path))
    with pytest.raises(InputError, match="split"):
        data.load("digits", "validation")


def test_files_that_do_not_belong_together_are_refused(folder: Path) -> None:
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match=r"\(5, 3, 4\) and \(4,\)"):
        data.load(str(folder), "train")
    labels.write_bytes(idx(np.zeros((5, 1), np.uint8)))
    with pytest.raises(DataError, match="belong together"):
        data.load(str(folder), "train")


@pytest.mark.parametrize("name", MNIST_SHA256)
def test_mnist_is_the_official_one(mnist_folder: Path, name: str) -> None:
    with gzip.open(mnist_folder / f"{name}.gz") as file:
        assert hashlib.sha256(file.read()).hexdigest() == MNIST_SHA256[name]


def test_mnist_loads(mnist_folder: Path) -> None:
    split = data.load(str(mnist_folder), "test")
    assert split.images.shape == (10_000, 1, 28, 28)
    assert split.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert float(split.images.double().mean()) == pytest.approx(0.13251, abs=1e-5)


def records(count: int, label_bytes: int, classes: int, seed: int) -> tuple[Bytes, Bytes]:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = rng.integers(0, classes, (count, label_bytes), dtype=np.uint8)
    return pixels, labels


def official(folder: Path, kind: str) -> dict[str, tuple[Bytes, Bytes]]:
    """The files of one official form of CIFAR, four records each; what they hold."""
    folder.mkdir()
    hundred, binary = "100" in kind, "bin" in kind
    stems = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    held = {}
    for i, stem in enumerate(stems):
        pixels, labels = records(4, 2 if hundred else 1, 100 if hundred else 10, i)
        held[stem] = pixels, labels[:, -1]
        if binary:
            (folder / f"{stem}.bin").write_bytes(np.hstack([labels, pixels]).tobytes())
        else:
            key = b"fine_labels" if hundred else b"labels"
            (folder / stem).write_bytes(pickle.dumps({b"data": pixels, key: labels[:, -1].tolist()}, protocol=2))
    return held


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "kind", ["cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary"]
)
def test_cifar_is_read_in_every_official_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packed: bool
) -> None:
    held = official(tmp_path / kind, kind)
    if packed:
        archive = {"cifar-10-batches-py": "cifar-10-python", "cifar-10-batches-bin": "cifar-10-binary"}.get(kind, kind)
        with tarfile.open(tmp_path / f"{archive}.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / kind, arcname=kind)
        shutil.rmtree(tmp_path / kind)
    monkeypatch.setenv("SLTH_DATA", str(tmp_path))
    name = "cifar100" if "100" in kind else "cifar10"
    assert name in data.available()
    for split in ("train", "test"):
        got = data.load(name, split)
        stems = [stem for stem in held if stem.startswith("test") == (split == "test")]
        pixels = np.concatenate([held[stem][0] for stem in stems]).reshape(-1, 3, 32, 32)
        assert got.labels.tolist() == np.concatenate([held[stem][1] for stem in stems]).tolist()
        assert torch.equal(got.images, torch.from_numpy(pixels.astype(np.float32) / np.float32(255)))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_a_pickle_that_is_more_than_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official(tmp_path / "cifar-100-python", "cifar-100-python")
    (tmp_path / "cifar-100-python" / "train").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(DataError, match="has no place in a data set"):
        data.load(str(tmp_path / "cifar-100-python"), "train")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["cifar-10-batches-py", "cifar-100-binary"])
def test_a_truncated_or_missing_cifar_file_is_named(tmp_path: Path, kind: str) -> None:
    official(tmp_path / kind, kind)
    name = "test_batch" if "10-" in kind else "test.bin"
    whole = (tmp_path / kind / name).read_bytes()
    (tmp_path / kind / name).write_bytes(whole[:-7])
    with pytest.raises(DataError, match="whole"):
        data.load(str(tmp_path / kind))
    (tmp_path / kind / name).unlink()
    with pytest.raises(DataError, match=name):
        data.load(str(tmp_path / kind))


def test_a_dataset_of_torch_becomes_a_split() -> None:
    images, labels = torch.rand(5, 1, 2, 2), torch.tensor([0, 1, 2, 1, 0])
    got = data.from_dataset(torch.utils.data.TensorDataset(images, labels))
    assert torch.equal(got.images, images)
    assert torch.equal(got.labels, labels)
    assert got.classes == 3
    with pytest.raises(DataError, match="image tensor"):
        data.from_dataset([3])
    with pytest.raises(DataError, match="got none"):
        data.from_dataset([])
    with pytest.raises(DataError, match="one shape"):
        data.from_dataset([(torch.rand(1, 2, 2), 0), (torch.rand(1, 2, 3), 1)])


def test_validation_is_held_out_and_a_subset_is_a_subset() -> None:
    whole = data.Split(torch.arange(10.0).reshape(10, 1, 1, 1), torch.arange(10))
    rest, held = data.held_out(whole, 3, seed=1)
    assert sorted([*rest.labels.tolist(), *held.labels.tolist()]) == list(range(10))
    assert len(held) == 3
    assert held.labels.tolist() == data.held_out(whole, 3, seed=1)[1].labels.tolist()
    assert held.labels.tolist() != data.held_out(whole, 3, seed=2)[1].labels.tolist()
    part = data.subset(whole, 4, seed=0)
    assert len(set(part.labels.tolist())) == 4
    assert data.subset(whole, None, seed=0) is whole
    for count in (0, 11):
        with pytest.raises(InputError, match="between 1 and 10"):
            data.subset(whole, count, seed=0)
    with pytest.raises(InputError, match="count"):
        data.held_out(whole, 10, seed=0)


OWN = """
from __future__ import annotations

from dataclasses import dataclass

import torch

@dataclass
class Pictures:
    count: int
    def __len__(self): return self.count
    def __getitem__(self, i): return torch.rand(1, 3, 3), i % 2

def pictures(split):
    return Pictures(5)

def make(split):
    count = {"train": 6, "test": 4}[split]
    return torch.utils.data.TensorDataset(torch.rand(count, 1, 3, 3), torch.arange(count) % 2)

def wrong(split):
    return 3

def named(split):
    return [(torch.zeros(1, 3, 3), "cat")]

class Broken:
    def __len__(self): return 1
    def __getitem__(self, i): raise OSError("no such picture")

def broken(split):
    return Broken()
"""


def test_a_data_set_of_ones_own_is_named_by_file_and_function(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert len(data.load(f"{tmp_path}/mine.py:make", "train")) == 6
    assert data.load(f"{tmp_path}/mine.py:make", "test").classes == 2
    assert len(data.load(f"{tmp_path}/mine.py:pictures", "train")) == 5
    for name, error, match in (
        ("wrong", DataError, "torch Dataset"),
        ("nothing", InputError, "does not have"),
        ("named", DataError, "class number; got 'cat'"),
        ("broken", DataError, "no such picture"),
    ):
        with pytest.raises(error, match=match):
            data.load(f"{tmp_path}/mine.py:{name}")
    with pytest.raises(InputError, match="a file that exists"):
        data.load(f"{tmp_path}/other.py:make")

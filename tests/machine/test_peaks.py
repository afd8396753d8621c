"""Peak rates of GPUs by name."""

import pytest

from pytest_lem.machine.gpu import Gpu
from pytest_lem.machine.peaks import peak_of


@pytest.mark.parametrize(
    ("name", "half_tflops", "gb_per_s"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4, 3350),
        ("NVIDIA H100 PCIe", 756, 2039),
        ("NVIDIA H100 NVL", 835.5, 3900),
        ("NVIDIA H200", 989.4, 4800),
        ("NVIDIA A100-SXM4-80GB", 312, 2039),
        ("NVIDIA A100-PCIE-40GB", 312, 1555),
        ("NVIDIA L4", 121, 300),
        ("Tesla V100-SXM2-32GB", 125, 900),
    ],
)
def test_boards_of_one_chip_are_told_apart(name, half_tflops, gb_per_s):
    """By the whole name: an H100 on PCIe is another thing than one on SXM."""
    peak = peak_of(name)
    assert peak.flops_per_s["float16"] == pytest.approx(half_tflops * 1e12)
    assert peak.bandwidth_bytes_per_s == pytest.approx(gb_per_s * 1e9)
    assert peak.source


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA H100",
        "NVIDIA L4000",
        "Made-up GPU",
        "",
    ],
)
def test_what_is_not_in_the_table_is_not_known(name):
    """No guess from a similar name, and none for a part of a GPU."""
    assert peak_of(name) is None


def test_a_gpu_without_a_precision_has_no_peak_for_it():
    """Volta has no bfloat16; nothing is put in its place."""
    assert "bfloat16" not in peak_of("Tesla V100-SXM2-16GB").flops_per_s


def test_the_record_says_which_peak_it_is_held_against():
    """With its source; an unknown model has null."""
    known = Gpu(index=0, uuid="GPU-0", name="NVIDIA H200").to_json()["peak"]
    assert known["bandwidth_bytes_per_s"] == 4.8e12
    assert known["source"].startswith("https://")
    assert Gpu(index=0, uuid="GPU-0", name="Made-up").to_json()["peak"] is None

"""How much faster are our operators, metrics and quantiles than others', on this machine's CPU?

    OMP_NUM_THREADS=1 python benchmarks/cpu.py

It wants a quiet machine and the peers: ``pip install torchmetrics kornia piq``. Ours and a peer's
take turns in one process; a ratio is the median over rounds, with its range. It writes the CPU's
table of docs/performance.md, to be looked at and committed.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import torch
from peers import MORE_PEERS, PEERS, compare

from invbench.files import atomic_write
from invbench.machine import device_key, keep_freed_memory

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- cpu -->", "<!-- /cpu -->"
PACKAGES = ["torch", "torchvision", "numpy", "Pillow", "scikit-image"]
PACKAGES += ["torchmetrics", "kornia", "piq", "lpips"]


def main() -> None:
    """Measure all, at the sizes of the profiles, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 64])
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every run does; peers gain by it as well
    device = torch.device("cpu")
    names = [f"{name} {version(name)}" for name in PACKAGES]
    images = f"{options.samples} images a call (LPIPS 10 at most)"
    lines = [
        f"{device_key(device, 'float32')}, one thread, {images}. {', '.join(names)}.",
        "",
        "| function and peer | side | times as fast | range | peer, ms | ours, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in PEERS | MORE_PEERS:
        for size in options.sizes:
            found = compare(name, size=size, samples=options.samples, device=device)
            low, high = found["range"]
            lines.append(
                f"| {name} | {size} | {found['ratio']:.2g} | {low:.2g} to {high:.2g} | "
                f"{found['peer_ms']:.3g} | {found['ours_ms']:.3g} |"
            )
            print(lines[-1], flush=True)
    before, _, rest = options.page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{options.page}: no {BEGIN} and {END}")
    with atomic_write(options.page) as stream:
        text = "\n".join(lines)
        stream.write(f"{before}{BEGIN}\n{text}\n{END}{after}".encode())


if __name__ == "__main__":
    main()

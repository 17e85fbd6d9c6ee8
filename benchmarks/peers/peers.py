#!/usr/bin/env python3
"""Our training step against PyTorch's: same network, batch, threads, optimiser and warm-up.

    tandem bench peers --quick --json peers.json --picture peers.svg

The two take turns, one job at a time, so that a busy or throttling machine hits both alike. PyTorch runs in its own best
environment: for each case its layouts, modes (eager, foreach, torch.compile) and memory allocators are tried first, and the
fastest is the one that is compared. Settings of libraries that the environment holds by chance (a narrower instruction set, say)
are removed for both.
"""

import argparse
import ctypes.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
TANDEM = HERE.parent.parent / "tandem"
PACKAGES = "python3-torch libopenblas0-pthread"


class Case(NamedTuple):
    model: str
    batch: int
    threads: int
    only_gradients: bool = False  # forward and backward, without the update
    ranks: int = 1  # data-parallel processes that share the batch: DistributedDataParallel over gloo, and ours

    def name(self):
        if self.ranks > 1:
            return f"{self.model} batch {self.batch}, {self.ranks} ranks (DDP with gloo)"
        return f"{self.model} batch {self.batch}, {self.threads} thread{'s' if self.threads > 1 else ''}"


CASES = [
    Case("cnn", 64, 1), Case("cnn", 64, 2), Case("cnn", 8, 1), Case("resnet", 64, 1), Case("resnet", 64, 2),
    Case("mlp784", 128, 1), Case("mlp784", 128, 2), Case("shallow", 128, 1), Case("deep100", 1, 1, only_gradients=True),
    Case("cnn", 64, 1, ranks=2), Case("cnn", 16, 1, ranks=2), Case("mlp10m", 128, 1, ranks=2),
]
PRICE = "M=8 / M=1"  # ours with 8 micro-batches against ours with 1: what the same bits on any grid cost
PRICED = Case("cnn", 64, 1)
LAYOUTS = {"cnn": ["contiguous", "channels_last"], "resnet": ["contiguous", "channels_last"]}  # of the others: one

# Which instructions a library may use, how it spreads threads, where memory comes from: decided here, not by chance.
DECIDED_HERE = ("OPENBLAS_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "OMP_", "GOMP_", "KMP_", "MALLOC_", "LD_PRELOAD")
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}

# glibc gives large blocks back to the system after each use unless told to keep them; PyTorch's tuning guide names both remedies.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_TOP_PAD_": str(1 << 26)}


def allocators():
    found = {"malloc": {}, "malloc that keeps": KEEP}
    for name, libraries in {"jemalloc": ["jemalloc"], "tcmalloc": ["tcmalloc", "tcmalloc_minimal"]}.items():
        if library := next(filter(None, map(ctypes.util.find_library, libraries)), None):
            found[name] = {"LD_PRELOAD": library}
    return found


def fail(message):
    sys.exit(f"peers: {message}")


def run(command, environment):
    """What a command prints, started without settings that the environment holds by chance."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(DECIDED_HERE)}
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


class Torch:
    """PyTorch for one case. `choose` comes first."""

    def __init__(self, python, environment, case, modes):
        self.python, self.environment, self.case, self.modes, self.variant = python, environment, case, modes, None

    def run(self, steps, warm_up, variant=None):
        layout, mode, _, allocator = variant or self.variant
        command = [self.python, HERE / "torch_step.py", "--model", self.case.model, "--batch", str(self.case.batch), "--threads",
                   str(self.case.threads), "--ranks", str(self.case.ranks), "--layout", layout, "--mode", mode, "--steps", str(steps),
                   "--warm-up", str(warm_up)]
        command += ["--only-gradients"] if self.case.only_gradients else []
        printed = run(command, {"OMP_NUM_THREADS": str(self.case.threads), **self.environment, **allocator})
        return json.loads(printed.splitlines()[-1])

    def choose(self, seconds):
        """Keeps the variant that is fastest in the better of two tries; returns its step in seconds."""
        variants = [(layout, mode, name, allocator) for layout in LAYOUTS.get(self.case.model, ["contiguous"])
                    for mode in self.modes for name, allocator in allocators().items()]
        first = self.run(3, 2, variants[0])["milliseconds"] / 1e3
        steps = min(100, max(3, round(seconds / first)))
        tries = [(self.run(steps, 2, variant)["milliseconds"] / 1e3, i) for _ in range(2) for i, variant in enumerate(variants)]
        best, i = min(tries)
        self.variant = variants[i]
        return best

    def describe(self):
        return ", ".join(self.variant[:3])


class Tandem:
    """Ours for one case."""

    def __init__(self, program, preset, case, micro_batches=1):
        self.program, self.preset, self.case, self.micro_batches = program, preset, case, micro_batches

    def run(self, steps, warm_up):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "result.json"
            command = [TANDEM, "run", "-n", str(self.case.ranks), "--threads", str(self.case.threads), "--preset", self.preset, self.program,
                       "--model", self.case.model, "--batch", str(self.case.batch), "--threads", str(self.case.threads), "--micro-batches",
                       str(self.micro_batches * self.case.ranks), "--steps", str(steps), "--warm-up", str(warm_up), "--json", file]
            run(command + (["--only-gradients"] if self.case.only_gradients else []), {})
            return json.loads(file.read_text())

    def choose(self, _):
        return self.run(3, 2)["milliseconds"] / 1e3

    def describe(self):
        return f"ours with M={self.micro_batches}"


def compare(ours, theirs, rounds, seconds):
    step = theirs.choose(seconds / 3)
    steps = min(2000, max(3, round(seconds / step)))
    warm_up = max(3, steps // 10)
    pairs = []
    for i in range(rounds):
        order = (ours, theirs) if i % 2 == 0 else (theirs, ours)
        speed = {who: who.run(steps, warm_up)["images_per_second"] for who in order}
        pairs.append((speed[ours], speed[theirs]))
    mine, other = (statistics.median(column) for column in zip(*pairs))
    ratios = sorted(a / b for a, b in pairs)
    return {"ratio": mine / other, "ours": mine, "theirs": other, "lowest_ratio": ratios[0], "highest_ratio": ratios[-1],
            "ours_all": [a for a, _ in pairs], "theirs_all": [b for _, b in pairs], "steps": steps, "warm_up": warm_up,
            "compared_with": theirs.describe()}


def find_torch(wanted, environment):
    """Pythons that import torch, with what torch says of itself. Exits if there is none, or one with slow matrix products."""
    found = {}
    for python in wanted or [sys.executable, "/usr/bin/python3"]:
        probe = subprocess.run([python, HERE / "torch_step.py", "--probe"], capture_output=True, text=True, check=False,
                               env={**{n: v for n, v in os.environ.items() if not n.startswith(DECIDED_HERE)}, **environment}) \
            if shutil.which(python) else None
        if not probe or probe.returncode:
            if wanted:
                fail(f"no PyTorch in {python}" + (f":\n{probe.stderr.strip()[-500:]}" if probe else ", which is no program"))
            continue
        about = found[python] = json.loads(probe.stdout.splitlines()[-1])
        if about["reference_blas"]:
            fail("PyTorch uses the reference BLAS here, which is slow and would flatter us; run:  sudo apt-get install " + PACKAGES)
        if not wanted:
            break
    for python, about in found.items():  # two builds of one version are told apart by their place
        twins = [other["version"] for other in found.values()].count(about["version"]) > 1
        about["label"] = about["version"] + (f" in {python}" if twins else "")
    return found or fail(f"no PyTorch; run:  sudo apt-get install {PACKAGES}   or name a Python that has it: --python PATH")


def draw(ratios, title, file):
    """The ratios as bars that rise or fall from 1, by gnuplot. The axis is logarithmic: twice as fast is as long as half as fast."""
    def label(name):
        return name.replace(" batch", "\\nbatch").replace(", ", "\\n")

    def colour(name):
        return "0x999999" if PRICE in name else "0x4477aa"

    rows = "\n".join(f'{i} {r["ratio"]:.4f} {r["lowest_ratio"]:.4f} {r["highest_ratio"]:.4f} "{label(name)}" {colour(name)} '
                     f'{r["ratio"]:.2f}' for i, (name, r) in enumerate(ratios.items()))
    low = min(0.8, 0.85 * min(r["lowest_ratio"] for r in ratios.values()))
    high = max(2, 1.5 * max(r["highest_ratio"] for r in ratios.values()))
    ticks = "0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 50, 100" if high > 8 * low else \
        "0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.5, 3, 4, 5"
    width = max(640, 140 + 92 * len(ratios))
    terminal = "pngcairo" if file.endswith(".png") else "svg"
    script = f"""set terminal {terminal} size {width},560 font 'sans-serif,11' background rgb 'white'
set output '{file}'
set title "{title}"
set tmargin 4
set ylabel 'images/s, ours / theirs (logarithmic)'
set logscale y
set ytics nomirror ({ticks})
set xtics nomirror scale 0
set yrange [{low}:{high}]
set xrange [-0.6:{len(ratios) - 0.4}]
set bmargin 6
set style fill solid 0.8
set grid y lc rgb '#cccccc'
unset key
$d << END
{rows}
END
plot $d using 1:(1):($1-0.3):($1+0.3):(1):2:6:xtic(5) with boxxyerror lc rgb variable, \\
  1 lc rgb '#cc3311' lw 2, \\
  $d using 1:2:3:4 with yerrorbars lc rgb '#222222' pt 7 ps 0.3, \\
  $d using 1:(($4 > 1 ? $4 : 1)):7 with labels offset 0,0.8
"""
    done = subprocess.run(["gnuplot", "-"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"gnuplot could not draw {file}: {done.stderr.strip()}")


def parse():
    arguments = argparse.ArgumentParser(prog="tandem bench peers", description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="3 rounds of about a second instead of 7 of three seconds")
    arguments.add_argument("--python", metavar="PATH", action="append", help="a Python that has PyTorch; repeat it to compare with several")
    arguments.add_argument("--avx2", action="store_true", help="both without AVX-512: our avx2 build, PyTorch and its libraries told so")
    arguments.add_argument("--program", metavar="PATH", help="our train_step, if not the one in build/")
    arguments.add_argument("--only", metavar="TEXT", default="", help="cases whose name contains this, as 'cnn batch 64'")
    arguments.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    arguments.add_argument("--picture", metavar="FILE", help="draw the ratios as bars (FILE.png, or else SVG)")
    options = arguments.parse_args()
    if options.picture and not shutil.which("gnuplot"):
        fail("--picture needs gnuplot; run:  sudo apt-get install gnuplot-nox")
    if options.avx2 and " avx2 " not in pathlib.Path("/proc/cpuinfo").read_text():
        fail("--avx2: this processor has no AVX2")
    return arguments, options


def main():
    arguments, options = parse()
    environment, preset = (AVX2, "avx2") if options.avx2 else ({}, os.environ.get("TANDEM_PRESET", "release"))
    if options.avx2 and not options.program:
        subprocess.run([TANDEM, "build", "--preset", preset, "train_step"], stdout=sys.stderr, check=True)
    pythons = find_torch(options.python, environment)
    program = options.program or "train_step"

    duels = {}  # name: ours, theirs
    for case in CASES:
        for python, about in pythons.items():
            name = case.name() + (f", PyTorch {about['label']}" if len(pythons) > 1 else "")
            duels[name] = Tandem(program, preset, case), Torch(python, environment, case, about["modes"])
    duels[f"{PRICED.name()}, {PRICE}"] = Tandem(program, preset, PRICED, 8), Tandem(program, preset, PRICED, 1)
    cores = len(os.sched_getaffinity(0))
    chosen = {name: duel for name, duel in duels.items() if options.only in name and duel[0].case.threads * duel[0].case.ranks <= cores}
    if not chosen:
        arguments.error(f"no case has '{options.only}' in its name; there are: {'; '.join(duels)}")

    rounds, seconds = (3, 1) if options.quick else (7, 3)
    versions = " and ".join(about["version"] for about in pythons.values()) + (", AVX2 only" if options.avx2 else "")
    print(f"PyTorch {versions}, {rounds} alternating rounds; images/s are medians; deep100: forward and backward only")
    for about in pythons.values():
        if about["openblas_core"]:
            print(f"PyTorch {about['version']} multiplies matrices by OpenBLAS, kernels for {about['openblas_core']}")
    width = max(map(len, chosen)) + 2
    print(f"\n{'case':<{width}}{'ours':>10}{'theirs':>10}{'ratio':>8}   {'lowest, highest':<18}compared with")
    ratios = {}
    for name, (ours, theirs) in chosen.items():
        r = ratios[name] = compare(ours, theirs, rounds, seconds)
        spread = f"{r['lowest_ratio']:.2f}, {r['highest_ratio']:.2f}"
        print(f"{name:<{width}}{r['ours']:>10.0f}{r['theirs']:>10.0f}{r['ratio']:>8.2f}   {spread:<18}{r['compared_with']}", flush=True)
    if options.json:
        part = pathlib.Path(options.json + ".part")
        part.write_text(json.dumps({"ratios": ratios, "torch": versions, "rounds": rounds, "avx2": options.avx2}, indent=1) + "\n")
        part.replace(options.json)
    if options.picture:
        title = f"Training step: speed relative to PyTorch {versions} (grey: to ours)\\nmedian and range of {rounds} pairs of runs"
        draw(ratios, title, options.picture)


if __name__ == "__main__":
    main()

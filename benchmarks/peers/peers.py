#!/usr/bin/env python3
"""Our training step against PyTorch's: same network, batch, threads, optimiser and warm-up.

    tandem bench peers --quick --json peers.json --picture peers.svg

The two take turns, one process at a time, so that a busy or throttling machine hits both alike. PyTorch runs in its own best
environment: for each case its layouts and memory allocators are tried first, and the fastest is the one that is compared.
"""

import argparse
import ctypes.util
import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TANDEM = HERE.parent.parent / "tandem"
PACKAGES = "python3-torch libopenblas0-pthread"

CASES = [  # model, batch, threads
    ("cnn", 64, 1), ("cnn", 64, 2), ("cnn", 8, 1), ("resnet", 64, 1), ("mlp784", 128, 1), ("mlp784", 128, 2), ("shallow", 128, 1),
]
LAYOUTS = {"cnn": ["contiguous", "channels_last"], "resnet": ["contiguous", "channels_last"]}  # of the others: one

# glibc gives large blocks back to the system after each use unless told to keep them; PyTorch's tuning guide names both remedies.
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_TOP_PAD_": str(1 << 26)}


def allocators():
    found = {"malloc": {}, "malloc that keeps": KEEP}
    if jemalloc := ctypes.util.find_library("jemalloc"):
        found["jemalloc"] = {"LD_PRELOAD": jemalloc}
    return found


def fail(message):
    sys.exit(f"peers: {message}")


def result_of(command, environment):
    """The JSON object that a command prints as its last line."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Torch:
    """PyTorch for one case."""

    def __init__(self, python, case):
        self.python, self.case, self.variant = python, case, None

    def run(self, steps, warm_up, variant=None):
        layout, _, environment = variant or self.variant
        model, batch, threads = self.case
        return result_of([self.python, HERE / "torch_step.py", "--model", model, "--batch", str(batch), "--threads", str(threads),
                          "--layout", layout, "--steps", str(steps), "--warm-up", str(warm_up)],
                         {"OMP_NUM_THREADS": str(threads), **environment})

    def choose(self, seconds):
        """Keeps the fastest variant; returns its step in seconds."""
        best = None
        for layout, (name, environment) in itertools.product(LAYOUTS.get(self.case[0], ["contiguous"]), allocators().items()):
            variant = (layout, name, environment)
            steps = 3 if best is None else min(100, max(3, round(seconds / best)))
            step = self.run(steps, 2, variant)["milliseconds"] / 1e3
            if best is None or step < best:
                best, self.variant = step, variant
        return best


class Tandem:
    """Ours for one case."""

    def __init__(self, program, case):
        self.program, self.case = program, case

    def run(self, steps, warm_up):
        model, batch, threads = self.case
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "result.json"
            done = subprocess.run([TANDEM, "run", "-n", "1", "--threads", str(threads), self.program, "--model", model, "--batch",
                                   str(batch), "--threads", str(threads), "--steps", str(steps), "--warm-up", str(warm_up),
                                   "--json", file], capture_output=True, text=True, check=False)
            if done.returncode:
                fail(f"our train_step failed:\n{done.stderr.strip()[-2000:]}")
            return json.loads(file.read_text())


def name_of(case):
    model, batch, threads = case
    return f"{model} batch {batch}, {threads} thread{'s' if threads > 1 else ''}"


def compare(case, python, program, rounds, seconds):
    theirs, ours = Torch(python, case), Tandem(program, case)
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
            "their_layout": theirs.variant[0], "their_allocator": theirs.variant[1]}


def find_torch(wanted):
    """A Python that imports torch, and torch's version. Exits if there is none, or if it would compute with slow matrix products."""
    for python in [wanted] if wanted else [sys.executable, "/usr/bin/python3"]:
        probe = subprocess.run([python, HERE / "torch_step.py", "--probe"], capture_output=True, text=True, check=False) \
            if shutil.which(python) else None
        if probe and probe.returncode == 0:
            found = json.loads(probe.stdout.splitlines()[-1])
            if found["reference_blas"]:
                fail("PyTorch uses the reference BLAS here, which is slow and would flatter us; run:  sudo apt-get install " + PACKAGES)
            return python, found["version"]
    fail(f"no PyTorch{f' in {wanted}' if wanted else ''}; run:  sudo apt-get install {PACKAGES}   or name a Python that has it: --python PATH")


def draw(ratios, version, file):
    """Bars of the ratios, with the range over the pairs, by gnuplot."""
    rows = "\n".join(f'"{name}" {r["ratio"]} {r["lowest_ratio"]} {r["highest_ratio"]}' for name, r in ratios.items())
    script = f"""set terminal svg size 900,420 font 'sans-serif,13'
set output '{file}'
set title 'Training step: speed relative to PyTorch {version} (median and range of the pairs)'
set ylabel 'images/s, ours / theirs'
set yrange [0:*]
set style fill solid 0.8
set boxwidth 0.6
set grid y
set xtics rotate by -25
unset key
$d << END
{rows}
END
plot $d using 0:2:xtic(1) with boxes lc rgb '#4477aa', $d using 0:2:3:4 with yerrorbars lc rgb '#333333' pt -1, 1 lc rgb '#cc3311' dt 2
"""
    done = subprocess.run(["gnuplot", "-"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"gnuplot could not draw {file}: {done.stderr.strip()}")


def main():
    arguments = argparse.ArgumentParser(prog="tandem bench peers", description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="3 rounds of about a second instead of 7 of three seconds")
    arguments.add_argument("--python", metavar="PATH", help="a Python that has PyTorch")
    arguments.add_argument("--program", metavar="PATH", default="train_step", help="our program, if not the one in build/")
    arguments.add_argument("--only", metavar="TEXT", default="", help="cases whose name contains this, as 'cnn batch 64'")
    arguments.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    arguments.add_argument("--picture", metavar="FILE", help="draw the ratios as bars (SVG)")
    options = arguments.parse_args()
    cores = len(os.sched_getaffinity(0))
    cases = [case for case in CASES if options.only in name_of(case) and case[2] <= cores]
    if not cases:
        arguments.error(f"no case has '{options.only}' in its name; there are: {'; '.join(map(name_of, CASES))}")
    python, version = find_torch(options.python)
    if options.picture and not shutil.which("gnuplot"):
        fail("--picture needs gnuplot; run:  sudo apt-get install gnuplot-nox")

    rounds, seconds = (3, 1) if options.quick else (7, 3)
    print(f"PyTorch {version}, {rounds} alternating rounds; images/s are medians\n")
    print(f"{'case':<28}{'ours':>10}{'PyTorch':>10}{'ratio':>8}   {'lowest, highest':<18}PyTorch's best")
    ratios = {}
    for case in cases:
        r = ratios[name_of(case)] = compare(case, python, options.program, rounds, seconds)
        spread = f"{r['lowest_ratio']:.2f}, {r['highest_ratio']:.2f}"
        print(f"{name_of(case):<28}{r['ours']:>10.0f}{r['theirs']:>10.0f}{r['ratio']:>8.2f}   {spread:<18}"
              f"{r['their_layout']}, {r['their_allocator']}", flush=True)
    if options.json:
        part = pathlib.Path(options.json + ".part")
        part.write_text(json.dumps({"ratios": ratios, "torch": version, "rounds": rounds}, indent=1) + "\n")
        part.replace(options.json)
    if options.picture:
        draw(ratios, version, options.picture)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A room includes only itself and the rooms below it: core <- nn <- parallel <- tasks <- sheets, benchmarks.

There is one include root, so the compiler would let a lower room look up; this test does not.
"""

import pathlib
import re
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOOR = {"core": 0, "nn": 1, "parallel": 2, "tasks": 3, "sheets": 4, "benchmarks": 4}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
MPI = re.compile(r'^\s*#\s*include\s*<mpi\.h>', re.MULTILINE)
SOURCES = {".hpp", ".cpp", ".h", ".inc"}

# The sources of tandem::schedule, as CMakeLists.txt lists them.
WITHOUT_MPI = re.compile(r"set\(without_mpi\s+([^)]*)\)")


def files(root):
    return (f for room in FLOOR for f in sorted((root / room).rglob("*")) if f.suffix in SOURCES)


def upward_includes(root):
    """Lines "FILE includes FILE" for each include of a higher room, or of the neighbour on the same floor."""
    found = []
    for file in files(root):
        room = file.relative_to(root).parts[0]
        for included in INCLUDE.findall(file.read_text()):
            target = included.split("/")[0]
            if target in FLOOR and target != room and FLOOR[target] >= FLOOR[room]:
                found.append(f"{file.relative_to(root)} includes {included}")
    return found


def includes_beside_the_root(root):
    """Quoted includes that name no file from the root, such as "tensor.hpp" or "../core/tensor.hpp": they would hide from the rule."""
    return [f"{file.relative_to(root)} includes {included}" for file in files(root) for included in INCLUDE.findall(file.read_text())
            if not (root / included).is_file() or ".." in included]


def includes_mpi(root, file):
    """Whether a file includes mpi.h, itself or through what it includes."""
    seen, left = set(), [file]
    while left:
        text = (root / left.pop()).read_text()
        if MPI.search(text):
            return True
        found = {included for included in INCLUDE.findall(text) if (root / included).is_file()} - seen
        seen |= found
        left += found
    return False


def schedules_with_mpi(root):
    """Sources of tandem::schedule that include MPI."""
    sources = ["parallel/" + name for name in WITHOUT_MPI.search((root / "CMakeLists.txt").read_text())[1].split()]
    return [source for source in sources if includes_mpi(root, source)]


class Includes(unittest.TestCase):
    def test_no_room_looks_up(self):
        self.assertEqual(upward_includes(ROOT), [])

    def test_every_include_is_named_from_the_root(self):
        self.assertEqual(includes_beside_the_root(ROOT), [])

    def test_schedules_need_no_mpi(self):
        self.assertEqual(schedules_with_mpi(ROOT), [])

    def test_planted_mistakes_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {
                "core/ops/good.cpp": '#include "core/good.hpp"\n#include <nn/system.hpp>\n',
                "core/good.hpp": '// #include "nn/not_really.hpp"\n',
                "core/bad.cpp": '#  include "nn/layers.hpp"\n',
                "core/sly.cpp": '#include "../nn/layers.hpp"\n',
                "nn/layers.hpp": '#include "core/good.hpp"\n',
                "benchmarks/bad.cpp": '#include "sheets/sheet.hpp"\n',
                "sheets/sheet.hpp": "",
                "parallel/pipeline/gpipe.cpp": '#include "parallel/mpi/communicator.hpp"\n',
                "parallel/pipeline/executor.cpp": "#include <mpi.h>\n",
                "parallel/pipeline/naive.cpp": '#include "core/good.hpp"\n',
                "CMakeLists.txt": "set(without_mpi pipeline/gpipe.cpp\n  pipeline/naive.cpp)\n",
                "parallel/mpi/communicator.hpp": "#include <mpi.h>\n",
            }.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            self.assertEqual(upward_includes(root), ["core/bad.cpp includes nn/layers.hpp", "benchmarks/bad.cpp includes sheets/sheet.hpp"])
            self.assertEqual(includes_beside_the_root(root), ["core/sly.cpp includes ../nn/layers.hpp"])
            self.assertEqual(schedules_with_mpi(root), ["parallel/pipeline/gpipe.cpp"])


if __name__ == "__main__":
    unittest.main()

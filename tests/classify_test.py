#!/usr/bin/env python3
"""The program classify as its user meets it: the same bits on any grid, stopping and going on, bad input.

usage: classify_test.py TANDEM BIN      the launcher and the folder of the programs
"""
import json, os, pathlib, random, shutil, struct, subprocess, sys, tempfile, unittest, zlib

TANDEM, BIN = sys.argv[1], pathlib.Path(sys.argv[2])
CLASSES = ["Field", "Lake", "Town"]


def png(width, height, pixels):
    """An RGB image as PNG bytes (PNG specification, sections 5 and 11)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(pixels[y * width * 3:(y + 1) * width * 3]) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_folder(root, per_class=20, side=16, classes=CLASSES):
    """Tiles of class k are noise around a colour of their own: easy to learn."""
    draw = random.Random(7)
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            pixels = [min(255, max(0, int(draw.gauss(80 + 60 * ((c + k) % 3), 40)))) for _ in range(side * side) for c in range(3)]
            (root / name / f"{name}_{i}.png").write_bytes(png(side, side, pixels))
    return root


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = pathlib.Path(tempfile.mkdtemp(prefix="tandem-classify."))
        cls.data = write_folder(cls.tmp / "tiles")
        os.environ["TANDEM_CACHE"] = str(cls.tmp / "cache")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    def run_ranks(self, ranks, *arguments, threads=1):
        command = [TANDEM, "run", "-n", str(ranks), "--threads", str(threads), str(BIN / "classify"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    def train(self, ranks, *arguments, threads=1):
        """Trains for two epochs unless told otherwise and returns the JSON result."""
        out = self.tmp / "result.json"
        out.unlink(missing_ok=True)
        defaults = [] if "--epochs" in arguments or "--resume" in arguments else ["--epochs", 2]
        done = self.run_ranks(ranks, "--data", self.data, *defaults, "--json", out, *arguments, threads=threads)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(out.read_text())

    def refuse(self, status, words, ranks, *arguments):
        """The program must fail with this status and say all of these words, once, on any number of ranks."""
        done = self.run_ranks(ranks, *arguments)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, status, said)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(said.count(words[0]), 1, said)


class Training(Case):
    def test_same_bits_on_any_ranks_and_threads(self):
        hashes = {(ranks, threads): self.train(ranks, threads=threads)["weights_hash"] for ranks, threads in
                  [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1)]}
        self.assertEqual(len(set(hashes.values())), 1, hashes)
        base = hashes[1, 1]
        self.assertRegex(base, "^[0-9a-f]{16}$")
        # Negative controls.
        self.assertNotEqual(self.train(1, "--seed", 2)["weights_hash"], base)
        self.assertNotEqual(self.train(1, "--micro-batches", 4)["weights_hash"], base)
        self.assertFalse(self.train(3)["same_bits_as_serial"])

    def test_same_bits_in_every_sharding_stage_and_a_run_goes_on_in_another(self):
        options = ["--optimizer", "adamw", "--clip", 1, "--epochs", 3]
        base = self.train(1, *options)
        for shard in (1, 2, 3):
            with self.subTest(shard=shard):
                result = self.train(2, *options, "--shard", shard)
                self.assertEqual((result["shard"], result["weights_hash"], result["accuracy"]),
                                 (shard, base["weights_hash"], base["accuracy"]))
        file = self.tmp / "shard.safetensors"
        self.train(2, *options, "--shard", 3, "--checkpoint", file, "--stop-after", 1)
        self.train(4, "--checkpoint", file, "--resume", "--stop-after", 1, "--shard", 1)
        self.assertEqual(self.train(2, "--checkpoint", file, "--resume", "--shard", 2)["weights_hash"], base["weights_hash"])

    def test_same_bits_on_any_grid_and_a_run_goes_on_on_another(self):
        options = ["--clip", 1, "--check-replicas", 1]
        base = self.train(1, *options)
        self.assertEqual(base["grid"], "serial")
        file = self.tmp / "grid.safetensors"
        for ranks, grid in [(2, "pipeline=2"), (3, "pipeline=3"), (4, "data=2,pipeline=2")]:
            with self.subTest(grid):
                result = self.train(ranks, *options, "--grid", grid, "--checkpoint", file)
                self.assertTrue(result["same_bits_as_serial"])
                self.assertEqual((result["grid"], result["weights_hash"], result["accuracy"]),
                                 (grid, base["weights_hash"], base["accuracy"]))
                self.assertAlmostEqual(result["loss"], base["loss"], places=6)  # a sum over ranks, in another order
        schedule = self.tmp / "two.csv"
        schedule.write_text("\n".join(",".join(f"{stage}{op}{i}" for op in "FB" for i in range(8)) for stage in range(2)) + "\n")
        for wishes in (["--pipeline-schedule", "zb-h1", "--recompute"], ["--pipeline-schedule", "interleaved"], ["--pipeline-schedule", schedule]):
            with self.subTest(wishes):
                self.assertEqual(self.train(2, *options, "--grid", "pipeline=2", *wishes)["weights_hash"], base["weights_hash"])
        # Sharding of stage 3 takes the naive schedule unless another is asked for, which it refuses.
        sharded = ["--grid", "data=2,pipeline=2", "--shard", 3]
        self.assertEqual(self.train(4, *options, *sharded)["weights_hash"], base["weights_hash"])
        self.refuse(2, ["several micro-batches under way", "naive"], 4, "--data", self.data, *sharded, "--pipeline-schedule", "gpipe")
        self.refuse(2, ["there is no schedule '2f2b'", "zb-h1"], 2, "--data", self.data, "--pipeline-schedule", "2f2b")
        self.refuse(1, ["16 rows hold 1 whole units of 16", "at most 1 ranks"], 2, "--data", self.data, "--grid", "spatial=2")
        options = ["--model", "cnn", "--learning-rate", 0.001]
        serial = self.train(1, *options)["history"][-1]["train_loss"]
        for ranks, grid in [(2, "tensor=2"), (2, "spatial=2"), (4, "tensor=2,spatial=2")]:  # these add in another order
            with self.subTest(grid):
                result = self.train(ranks, *options, "--grid", grid)
                self.assertFalse(result["same_bits_as_serial"])
                self.assertAlmostEqual(result["history"][-1]["train_loss"], serial, delta=1e-3)
        self.assertNotAlmostEqual(self.train(1, *options, "--seed", 2)["history"][-1]["train_loss"], serial, delta=1e-3)
        whole = self.train(1, "--epochs", 3)
        self.train(2, "--epochs", 3, "--grid", "pipeline=2", "--checkpoint", file, "--stop-after", 1)
        self.train(4, "--checkpoint", file, "--resume", "--stop-after", 1, "--grid", "data=2,pipeline=2")
        self.assertEqual(self.train(3, "--checkpoint", file, "--resume", "--grid", "pipeline=3")["weights_hash"], whole["weights_hash"])

    def test_a_stopped_and_resumed_run_ends_with_the_same_bits(self):
        for optimizer, rate in (("sgd", 0.05), ("adam", 0.002)):
            options = ["--epochs", 3, "--optimizer", optimizer, "--learning-rate", rate]
            whole = self.train(2, *options)
            file = self.tmp / f"{optimizer}.safetensors"
            first = self.train(2, *options, "--checkpoint", file, "--stop-after", 1)
            rest = self.train(1, "--checkpoint", file, "--resume")  # on another number of ranks
            self.assertNotEqual(first["weights_hash"], whole["weights_hash"])
            self.assertEqual(rest["weights_hash"], whole["weights_hash"])
            self.assertEqual([row["epoch"] for row in rest["history"]], [2, 3])
            self.refuse(2, ["--resume: epochs is 3", "5 was given"], 2, "--data", self.data, "--checkpoint", file, "--resume",
                        "--epochs", 5)

    def test_a_last_micro_batch_of_one_image_trains(self):
        # 48 images in steps of 47 leave one, whose maps have shrunk to a pixel when the last batch norm sees them.
        self.train(2, "--batch", 47, "--epochs", 1)

    def test_results_for_scripts_and_people(self):
        report, picture = self.tmp / "report.html", self.tmp / "confusion.svg"
        result = self.train(2, "--report", report, "--picture", picture, "--epochs", 6, "--learning-rate", 0.05)
        for key in "accuracy loss images_per_second seconds epochs ranks threads weights_hash confusion kappa macro_f1".split():
            self.assertIn(key, result)
        self.assertEqual((result["ranks"], result["threads"], result["epochs"]), (2, 1, 6))
        self.assertEqual(sum(map(sum, result["confusion"])), 6)  # a tenth of 60
        self.assertIn("</html>", report.read_text())
        self.assertIn(result["weights_hash"], report.read_text())
        self.assertIn("</svg>", picture.read_text())

    def test_keeping_books_of_time_and_memory_changes_no_bits(self):
        flames = self.tmp / "flames.svg"
        plain, booked = self.train(1), self.train(1, "--memory", "--profile", flames)
        self.assertEqual(plain["weights_hash"], booked["weights_hash"])
        for words in ("stem / conv / conv2d / backward", "update / other", "</svg>"):
            self.assertIn(words, flames.read_text())
        # A single step is reported too, though it is the first.
        done = self.run_ranks(2, "--data", self.data, "--epochs", 1, "--memory", "--profile", flames)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([done.stdout.count(words) for words in ("\npeak, the sum of these", "\na step     ")], [1, 1])

    def test_evaluate_and_predict(self):
        file, out = self.tmp / "model.safetensors", self.tmp / "score.json"
        self.train(2, "--epochs", 12, "--learning-rate", 0.05, "--checkpoint", file)
        done = self.run_ranks(2, "--evaluate", self.data, "--checkpoint", file, "--json", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        score = json.loads(out.read_text())
        self.assertGreater(score["accuracy"], 0.9)  # chance is a third
        self.assertEqual(sum(map(sum, score["confusion"])), 60)
        # One class alone can be scored; its label is found by name.
        lake = self.tmp / "lake"
        shutil.copytree(self.data / "Lake", lake / "Lake")
        self.assertEqual(self.run_ranks(1, "--evaluate", lake, "--checkpoint", file, "--json", out).returncode, 0)
        self.assertEqual(json.loads(out.read_text())["confusion"][0], [0, 0, 0])
        tile = self.data / "Lake" / "Lake_3.png"
        done = self.run_ranks(1, "--checkpoint", file, "--json", out, "--predict", tile, self.data / "Town" / "Town_0.png")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{tile}: Lake", done.stdout)
        self.assertEqual([p["class"] for p in json.loads(out.read_text())["predictions"]], ["Lake", "Town"])
        # Mistakes in using a model.
        big = write_folder(self.tmp / "big", per_class=3, side=32)
        self.refuse(1, ["the model wants [16,16,3]", "[32,32,3]"], 2, "--evaluate", big, "--checkpoint", file)
        self.refuse(1, ["the model wants [16,16,3]"], 1, "--checkpoint", file, "--predict", big / "Lake" / "Lake_0.png")
        other = write_folder(self.tmp / "other", classes=["Lake", "Moon"], per_class=3)
        self.refuse(1, ["Moon"], 2, "--evaluate", other, "--checkpoint", file)


class BadInput(Case):
    def copy(self, name):
        folder = self.tmp / name
        shutil.copytree(self.data, folder)
        return folder

    def test_bad_files_are_named_and_can_be_left_out(self):
        whole = (self.data / "Lake" / "Lake_1.png").read_bytes()
        bad = {"truncated": whole[:len(whole) // 2], "text": b"this is no image", "empty": b"",
               "other_size": png(8, 8, [9] * 192)}
        for name, content in bad.items():
            folder = self.copy(name)
            (folder / "Lake" / "Lake_1.png").write_bytes(content)
            self.refuse(1, ["Lake_1.png"], 2, "--data", folder, "--epochs", 1)
            done = self.run_ranks(2, "--data", folder, "--epochs", 1, "--skip-bad")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("Lake_1.png", done.stdout)
        folder = self.copy("notes")
        (folder / "Lake" / "notes.txt").write_text("not an image")
        self.refuse(1, ["notes.txt"], 2, "--data", folder)

    def test_folders_that_teach_nothing(self):
        empty_class = self.copy("empty_class")
        (empty_class / "Void").mkdir()
        self.refuse(1, ["Void"], 2, "--data", empty_class)
        one = self.tmp / "one"
        shutil.copytree(self.data / "Lake", one / "Lake")
        self.refuse(1, ["one"], 2, "--data", one)
        (self.tmp / "nothing").mkdir()
        self.refuse(1, ["nothing"], 2, "--data", self.tmp / "nothing")
        self.refuse(1, ["no/such/folder"], 2, "--data", "no/such/folder")
        few = write_folder(self.tmp / "few", per_class=2)
        self.refuse(1, ["Field"], 2, "--data", few)

    def test_options_that_make_no_sense(self):
        for words, arguments in [(["each rank needs at least one"], ["--micro-batches", 1]), (["model 'vgg'"], ["--model", "vgg"]),
                                 (["--epochs"], ["--epochs", 0]), (["--epochs"], ["--epochs", "many"]), (["--nonsense"], ["--nonsense"]),
                                 (["schedule 'x'"], ["--schedule", "x"]), (["optimizer 'x'"], ["--optimizer", "x"]),
                                 (["allreduce 'x'"], ["--allreduce", "x"]), (["--checkpoint"], ["--resume"]),
                                 (["data is '3'", "from 1 to 2"], ["--grid", "data=3"]),
                                 (["1 x 1 x 1 x 1", "are 1 ranks, but there are 2"], ["--grid", "data=1"]),
                                 (["no axis 'depth'"], ["--grid", "depth=2"])]:
            self.refuse(2, words, 2, "--data", self.data, *arguments)

    def test_a_run_that_diverges_ends(self):
        self.refuse(1, ["the loss is"], 2, "--data", self.data, "--learning-rate", "1e30", "--epochs", 20, "--model", "cnn")
        # One step, whose own loss is still finite, breaks the weights; no checkpoint may come of it.
        file = self.tmp / "broken.safetensors"
        self.refuse(1, ["the loss is"], 2, "--data", self.data, "--model", "mlp", "--schedule", "constant", "--learning-rate", "1e38",
                    "--epochs", 1, "--checkpoint", file)
        self.assertFalse(file.exists())

    def test_checkpoints_that_do_not_fit(self):
        file = self.tmp / "c.safetensors"
        self.train(1, "--epochs", 2, "--checkpoint", file, "--stop-after", 1)
        cut = self.tmp / "cut.safetensors"
        cut.write_bytes(file.read_bytes()[:-100])
        self.refuse(1, ["cut.safetensors"], 2, "--data", self.data, "--checkpoint", cut, "--resume")
        self.refuse(1, ["cut.safetensors"], 2, "--evaluate", self.data, "--checkpoint", cut)
        self.refuse(1, ["absent.safetensors"], 2, "--evaluate", self.data, "--checkpoint", self.tmp / "absent.safetensors")
        others = write_folder(self.tmp / "others", per_class=21)  # the same classes, other images
        self.refuse(1, ["it learned from other data"], 2, "--data", others, "--checkpoint", file, "--resume")
        two = write_folder(self.tmp / "two", classes=CLASSES[:2])
        self.refuse(1, ["c.safetensors"], 2, "--data", two, "--checkpoint", file, "--resume")

    def test_outputs_are_tried_before_the_work(self):
        for option in ("--json", "--report", "--checkpoint", "--picture", "--profile"):
            self.refuse(1, ["no/such/folder"], 2, "--data", self.data, option, "no/such/folder/file")
        for words, arguments in [(["--report is"], ["--evaluate", self.data, "--report", "r.html"]),
                                 (["--picture needs"], ["--predict", "a.png", "--picture", "p.svg"]),
                                 (["--profile are"], ["--evaluate", self.data, "--memory"]),
                                 (["are two runs"], ["--evaluate", self.data, "--predict", "a.png"])]:
            self.refuse(2, words, 1, "--checkpoint", "c.safetensors", *arguments)
        old = self.tmp / "old.json"
        old.write_text("old")
        self.refuse(1, ["the loss is"], 1, "--data", self.data, "--learning-rate", "1e30", "--epochs", 20, "--model", "cnn", "--json", old)
        self.assertEqual(old.read_text(), "old")

    def test_help_is_printed_once(self):
        done = self.run_ranks(2, "--help")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count("Example:"), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

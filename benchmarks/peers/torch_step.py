#!/usr/bin/env python3
"""Times PyTorch's training step on the networks of benchmarks/resident.hpp and prints one JSON object.

    torch_step.py --model cnn --batch 64 --threads 1 --layout channels_last --steps 20 --warm-up 3

The step is written as PyTorch's users write it for speed: gradients set to None, no copy of the batch, Nesterov SGD (in one
pass where this version can). It runs with every PyTorch from 1.13 on. `--mode` tells how: eager, foreach (the optimiser works on lists
of tensors) or compile (torch.compile, from version 2 on). `--ranks 2` starts two processes that share the batch and sum their gradients
by DistributedDataParallel over gloo; a step then takes as long as the slowest.
"""

import argparse
import ctypes
import json
import os
import socket
import statistics
import subprocess
import sys
import time


def conv_norm_relu(nn, channels, width, kernel=3, stride=1):
    return [nn.Conv2d(channels, width, kernel, stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def cnn(nn):
    layers, channels = [], 3
    for width in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 8 * 128, 256), nn.ReLU(inplace=True), nn.Linear(256, 10))


def resnet(nn):
    class Residual(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.body = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.body(x)

    layers, channels = conv_norm_relu(nn, 3, 16, kernel=4, stride=2), 16
    for width in (32, 64, 128):
        layers += conv_norm_relu(nn, channels, width)
        layers += [nn.MaxPool2d(2), Residual(*conv_norm_relu(nn, width, width), *conv_norm_relu(nn, width, width))]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def mlp(nn, *hidden):
    layers, width = [nn.Flatten()], 784
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(inplace=True)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, 10))


def deep100(nn):
    """A hundred layers of one number each; all weights 1, so that gradients stay within what a float can hold."""
    layers = []
    for _ in range(100):
        linear = nn.Linear(1, 1)
        nn.init.ones_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers)


MODELS = {  # name: how to build it, shape of an image
    "cnn": (cnn, (3, 64, 64)),
    "resnet": (resnet, (3, 64, 64)),
    "mlp784": (lambda nn: mlp(nn, 512, 512), (1, 28, 28)),
    "shallow": (lambda nn: mlp(nn, 128, 127, 126, 125, 124, 123), (1, 28, 28)),
    "mlp10m": (lambda nn: mlp(nn, 2048, 2048, 2048), (1, 28, 28)),
    "deep100": (deep100, (1,)),
}


def probe():
    """Which PyTorch this is, and by what it multiplies matrices: the reference BLAS is slow, OpenBLAS names its kernels."""
    import torch

    torch.mm(torch.ones(2, 2), torch.ones(2, 2))
    with open("/proc/self/maps", encoding="utf-8") as maps:
        libraries = {os.path.realpath(line.split()[-1]) for line in maps if "/" in line}
    reference = [lib for lib in libraries if os.path.basename(lib).startswith("libblas") and os.path.dirname(lib).endswith("/blas")]
    core = ""
    for library in libraries:
        if "openblas" in library and hasattr(openblas := ctypes.CDLL(library), "openblas_get_corename"):
            openblas.openblas_get_corename.restype = ctypes.c_char_p
            core = openblas.openblas_get_corename().decode()
    modes = ["eager", "foreach"] + (["compile"] if hasattr(torch, "compile") else [])
    print(json.dumps({"version": torch.__version__, "modes": modes, "reference_blas": bool(reference), "openblas_core": core}))


def nesterov_sgd(torch, parameters, mode):
    options = {"lr": 0.001, "momentum": 0.9, "nesterov": True}
    if mode == "foreach":
        return torch.optim.SGD(parameters, foreach=True, **options)
    try:
        return torch.optim.SGD(parameters, fused=True, **options)
    except (TypeError, RuntimeError):  # older versions have none
        return torch.optim.SGD(parameters, **options)


class Alone:
    """One process."""

    rank = 0

    def wrap(self, model):
        return model

    def share(self, batch):
        return batch

    def barrier(self):
        pass

    def slowest(self, seconds):
        return seconds


class Together:
    """One of several processes that train one model."""

    def __init__(self, torch, ranks):
        self.torch, self.ranks, self.rank = torch, ranks, int(os.environ["RANK"])
        torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{os.environ['MASTER_PORT']}", rank=self.rank,
                                             world_size=ranks)

    def wrap(self, model):
        return self.torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)

    def share(self, batch):
        return (self.rank + 1) * batch // self.ranks - self.rank * batch // self.ranks

    def barrier(self):
        self.torch.distributed.barrier()

    def slowest(self, seconds):
        largest = self.torch.tensor([seconds], dtype=self.torch.float64)
        self.torch.distributed.all_reduce(largest, self.torch.distributed.ReduceOp.MAX)
        return largest.item()


def start_ranks(ranks):
    """This program again, once a rank; rank 0 prints the result."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": str(rank), "MASTER_PORT": str(port)})
                 for rank in range(ranks)]
    if any([process.wait() for process in processes]):
        sys.exit("torch_step: a rank failed")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", choices=MODELS, default="cnn")
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--ranks", type=int, default=1)
    arguments.add_argument("--layout", choices=["contiguous", "channels_last"], default="contiguous")
    arguments.add_argument("--mode", choices=["eager", "foreach", "compile"], default="eager")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--warm-up", type=int, default=3)
    arguments.add_argument("--only-gradients", action="store_true", help="time forward and backward, without the update")
    arguments.add_argument("--probe", action="store_true", help="say only which PyTorch this is")
    options = arguments.parse_args()
    if options.probe:
        probe()
        return

    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch starts its threads
    if options.ranks > 1 and "RANK" not in os.environ:
        start_ranks(options.ranks)
        return
    import torch

    together = Together(torch, options.ranks) if options.ranks > 1 else Alone()

    torch.manual_seed(1)
    torch.set_num_threads(options.threads)
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    build, image = MODELS[options.model]
    model = build(torch.nn).to(memory_format=layout)
    parameters = list(model.parameters())
    optimizer = nesterov_sgd(torch, parameters, options.mode)
    if options.mode == "compile":
        model = torch.compile(model)
    model = together.wrap(model)
    batch = together.share(options.batch)
    x = torch.randn(batch, *image).contiguous(memory_format=layout if len(image) == 3 else torch.contiguous_format)
    if options.model == "deep100":
        criterion, target = torch.nn.MSELoss(), torch.zeros(batch, 1)
    else:
        criterion, target = torch.nn.CrossEntropyLoss(), torch.arange(batch) % 10

    def gradients():
        for p in parameters:
            p.grad = None
        loss = criterion(model(x), target)
        loss.backward()
        return loss

    def step():
        loss = gradients()
        optimizer.step()
        return loss.item()

    run = gradients if options.only_gradients else step
    seconds = []
    for i in range(options.warm_up + options.steps):
        together.barrier()
        begin = time.perf_counter()
        run()
        spent = together.slowest(time.perf_counter() - begin)
        if i >= options.warm_up:
            seconds.append(spent)
    if together.rank != 0:
        return
    middle = statistics.median(seconds)
    print(json.dumps({"milliseconds": middle * 1e3, "fastest_milliseconds": min(seconds) * 1e3,
                      "slowest_milliseconds": max(seconds) * 1e3, "images_per_second": options.batch / middle,
                      "parameters": sum(p.numel() for p in parameters), "version": torch.__version__}))


if __name__ == "__main__":
    main()

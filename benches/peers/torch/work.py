"""PyTorch on the CPU; the protocol is that of common/src/lib.rs."""

import sys
import time

import torch
import torch.nn.functional as F

FUNCTIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
}
ARGUMENTS = 8.0


def numbers(seed, shape, scale):
    count = torch.Size(shape).numel()
    hashes = (torch.arange(count) + seed * 1_000_003) * 2_654_435_761 & 0xFFFFFFFF
    return ((hashes.double() / 4_294_967_296 - 0.5) * scale).float().reshape(shape)


def forward(shape, g):
    z = numbers(0, shape, ARGUMENTS)
    return lambda: [g(z)]


def both(shape, g):
    z = numbers(0, shape, ARGUMENTS).requires_grad_()
    dy = torch.ones(shape)

    def run():
        z.grad = None
        y = g(z)
        y.backward(dy)
        return [y.detach(), z.grad]

    return run


def output_layer(batch, inputs, outputs):
    x = numbers(1, (batch, inputs), 1.0).requires_grad_()
    w = numbers(2, (inputs, outputs), 0.1).requires_grad_()
    b = numbers(3, (outputs,), 1.0).requires_grad_()
    labels = (torch.arange(batch) * 7919 + 13) % outputs

    def run():
        x.grad = w.grad = b.grad = None
        loss = F.cross_entropy(torch.addmm(b, x, w), labels)
        loss.backward()
        return [loss.detach(), w.grad, b.grad, x.grad]

    return run


def prepare(case):
    name, *words = case.split()
    if name == "forward":
        return forward((int(words[1]),), FUNCTIONS[words[0]])
    if name == "both":
        return both((int(words[1]),), FUNCTIONS[words[0]])
    sizes = tuple(int(word) for word in words)
    if name == "softmax":
        return forward(sizes, lambda z: torch.softmax(z, 1))
    if name == "softmax_both":
        return both(sizes, lambda z: torch.softmax(z, 1))
    if name == "product":
        a, b = (numbers(seed, sizes * 2, 1.0) for seed in (1, 2))
        return lambda: [a @ b]
    if name == "output_layer":
        return output_layer(*sizes)
    return None


def checksum(results):
    return sum(result.double().abs().sum().item() for result in results)


def once(run):
    start = time.perf_counter()
    results = run()
    seconds = time.perf_counter() - start
    del results
    return seconds


def measure(run, seconds, check):
    start = time.perf_counter()
    once(run)
    while time.perf_counter() - start < seconds / 4:
        once(run)
    times = [once(run)]
    while time.perf_counter() - start < seconds and len(times) < 1_000_000:
        times.append(once(run))
    times.sort()
    middle = len(times) // 2
    median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
    print(f"{median:e} {times[0]:e} {len(times)} {check:e}", flush=True)


def serve():
    known = run = None
    for line in sys.stdin:
        seconds, case = line.strip().split(" ", 1)
        if case != known:
            run = None
            run, known = prepare(case), case
            check = checksum(run()) if run else 0.0
        if run is None:
            print("none", flush=True)
        else:
            measure(run, float(seconds), check)


if sys.argv[1] == "version":
    print(torch.__version__)
else:
    torch.set_num_threads(int(sys.argv[1]))
    if sys.argv[2] == "serve":
        serve()
    else:
        print(f"{checksum(prepare(sys.argv[3])()):e}", flush=True)

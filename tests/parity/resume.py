#!/usr/bin/env python3
"""A training that goes on from a checkpoint which Rushlight wrote: the next losses are those of one that goes on from
torch's own.

    resume.py EXAMPLE_TRAINING_CHECKPOINT

A small CNN with BatchNorm, for each of several optimizers: some steps, torch.save, the example program (which counts
the epoch up and changes the learning rate), and then the same steps from either file. The losses must be equal, bit
for bit. Exits with 1 when one is not.
"""
import pathlib
import subprocess
import sys
import tempfile

import torch

STEPS = 5


def network():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
                               torch.nn.Linear(4 * 36, 10))


def train(model, optimizer, seed):
    made = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(STEPS):
        images = torch.randn(16, 1, 8, 8, generator=made)
        labels = torch.randint(0, 10, (16,), generator=made)

        def closure():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            return loss

        losses.append(float(optimizer.step(closure)))
    return losses


def resumed(file, make, learning_rate=None):
    # torch 1 refuses floats under weights_only.
    options = {} if torch.__version__.startswith("1.") else {"weights_only": True}
    state = torch.load(file, **options)
    model = network()
    model.load_state_dict(state["model_state_dict"])
    optimizer = make(model.parameters())
    optimizer.load_state_dict(state["optimizer_state_dict"])
    if learning_rate is not None:
        optimizer.param_groups[0]["lr"] = learning_rate
    return state, train(model, optimizer, 2)


def main():
    torch.set_num_threads(1)
    optimizers = {"SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
                  "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True), "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
                  "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
                  "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05), "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1)}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, make in optimizers.items():
            first, second = pathlib.Path(folder) / (name + ".pt"), pathlib.Path(folder) / (name + ".resumed.pt")
            model = network()
            optimizer = make(model.parameters())
            losses = train(model, optimizer, 1)
            torch.save({"epoch": 3, "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
                        "loss": losses[-1]}, first)
            subprocess.run([sys.argv[1], str(first), str(second), "0.005"], check=True, stdout=subprocess.DEVNULL)
            _, wanted = resumed(first, make, learning_rate=0.005)
            state, found = resumed(second, make)
            good = wanted == found and state["epoch"] == 4 and wanted != losses
            failed += not good
            print("%-8s %s %s" % (name, "equal" if good else "DIFFERENT", found if good else (wanted, found, state["epoch"])))
    print("resume: torch %s, %d optimizers, %d differ" % (torch.__version__, len(optimizers), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

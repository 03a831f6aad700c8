"""Answers to the exercises of notebook 13: right in other ways than the reference, and wrong as a learner would type it."""

import itertools

import numpy as np
import torch


def parts_in_a_loop(disk, model, average, optimizer, generator, learn, until):
    parts = {"m": model, "a": average, "o": optimizer}
    seen = 0
    if "checkpoint.pt" in disk:
        state = disk.read("checkpoint.pt")
        for key, part in parts.items():
            part.load_state_dict(state[key])
        generator.set_state(state["g"])
        seen = state["images"]
    while seen < until:
        seen = learn(seen)
        state = {key: part.state_dict() for key, part in parts.items()}
        state.update(g=generator.get_state(), images=seen)
        disk.write("checkpoint.tmp", state)
        disk.rename("checkpoint.tmp", "checkpoint.pt")


def a_tuple_and_try(disk, model, average, optimizer, generator, learn, until):
    try:
        seen, weights, mean, moments, order = disk.read("state")
    except FileNotFoundError:
        seen = 0
    else:
        model.load_state_dict(weights), average.load_state_dict(mean)
        optimizer.load_state_dict(moments)
        generator.set_state(order)
    for _ in itertools.count():
        if seen >= until:
            break
        seen = learn(seen)
        disk.write("state.part", (seen, model.state_dict(), average.state_dict(), optimizer.state_dict(), generator.get_state()))
        disk.rename("state.part", "state")


def two_files_in_turn(disk, model, average, optimizer, generator, learn, until):
    """No renaming: the older of two files is written over, and one that is torn is passed over."""
    found = []
    for name in ("even", "odd"):
        try:
            found.append(disk.read(name))
        except (FileNotFoundError, EOFError):
            continue
    latest = max(found, key=lambda state: state["seen"], default=None)
    seen, turn = 0, 0
    if latest:
        seen, turn = latest["seen"], latest["turn"] + 1
        model.load_state_dict(latest["model"])
        average.load_state_dict(latest["average"])
        optimizer.load_state_dict(latest["optimizer"])
        generator.set_state(latest["order"])
    while seen < until:
        seen = learn(seen)
        disk.write(("even", "odd")[turn % 2], {
            "seen": seen, "turn": turn, "model": model.state_dict(), "average": average.state_dict(),
            "optimizer": optimizer.state_dict(), "order": generator.get_state()})
        turn += 1


def functions_inside(disk, model, average, optimizer, generator, learn, until):
    def save(seen):
        disk.write("tmp", [seen, [part.state_dict() for part in (model, average, optimizer)], generator.get_state()])
        disk.rename("tmp", "last")

    def load():
        seen, states, order = disk.read("last")
        for part, state in zip((model, average, optimizer), states, strict=True):
            part.load_state_dict(state)
        generator.set_state(order)
        return seen

    seen = load() if "last" in disk else 0
    while True:
        if seen >= until:
            return seen
        seen = learn(seen)
        save(seen)


def saves_the_start_too(disk, model, average, optimizer, generator, learn, until):
    seen = 0
    if "x" in disk:
        kept = disk.read("x")
        seen = kept.pop("seen")
        generator.set_state(kept.pop("order"))
        for name, part in {"model": model, "average": average, "optimizer": optimizer}.items():
            part.load_state_dict(kept[name])
    else:
        disk.write("y", {"seen": 0, "order": generator.get_state(), "model": model.state_dict(),
                         "average": average.state_dict(), "optimizer": optimizer.state_dict()})
        disk.rename("y", "x")
    while seen < until:
        seen = learn(seen)
        disk.write("y", {"seen": seen, "order": generator.get_state().clone(), "model": model.state_dict(),
                         "average": average.state_dict(), "optimizer": optimizer.state_dict()})
        disk.rename("y", "x")


def keeps_every_state(disk, model, average, optimizer, generator, learn, until):
    """A file for each moment, and a small one that says which is the newest whole one."""
    seen = disk.read("latest") if "latest" in disk else 0
    if seen:
        kept = disk.read(f"at-{seen}")
        model.load_state_dict(kept[0])
        average.load_state_dict(kept[1])
        optimizer.load_state_dict(kept[2])
        generator.set_state(kept[3])
    while seen < until:
        seen = learn(seen)
        disk.write(f"at-{seen}", [model.state_dict(), average.state_dict(), optimizer.state_dict(), generator.get_state()])
        disk.write("new", seen)
        disk.rename("new", "latest")


def idle_by_a_loop(kernels):
    rows = sorted(kernels.tolist())
    idle, until = 0.0, rows[0][0]
    for start, end in rows:
        if start > until:
            idle += start - until
        until = max(until, end)
    return idle / (until - rows[0][0])


def idle_by_merging(kernels):
    merged = []
    for start, end in sorted((float(a), float(b)) for a, b in kernels):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    busy = sum(end - start for start, end in merged)
    return 1 - busy / (merged[-1][1] - merged[0][0])


def idle_by_events(kernels):
    """A start adds a kernel that runs, an end takes one away: idle where none is left."""
    times = kernels.flatten()
    steps = torch.tensor([1, -1]).repeat(len(kernels))
    order = times.argsort(stable=True)
    times, running = times[order], steps[order].cumsum(0)
    gaps = times[1:] - times[:-1]
    return gaps[running[:-1] == 0].sum() / (times[-1] - times[0])


def idle_numpy(kernels):
    k = kernels.detach().numpy()
    k = k[np.argsort(k[:, 0])]
    reached = np.maximum.accumulate(k[:, 1])
    lost = np.maximum(k[1:, 0] - reached[:-1], 0).sum()
    return torch.as_tensor(lost / (reached[-1] - k[0, 0]), dtype=kernels.dtype)


def idle_by_comparing_all(kernels):
    """A gap ends at a start that no other kernel covers, and began at the latest end before it."""
    start, end = kernels[:, 0], kernels[:, 1]
    covered = ((start[None] < start[:, None]) & (end[None] >= start[:, None])).any(1)
    idle = torch.zeros((), dtype=kernels.dtype)
    for s in start[~covered]:
        before = end[end < s]
        if len(before):
            idle = idle + s - before.max()
    return idle / (end.max() - start.min())


def idle_by_sorting_apart(kernels):
    """Before the k-th start k - 1 kernels have begun; nothing runs from the (k - 1)-th end on, if that comes first."""
    start, end = kernels[:, 0].sort().values, kernels[:, 1].sort().values
    return (start[1:] - end[:-1]).clamp(min=0).sum() / (end[-1] - start[0])


def idle_relu(kernels):
    ordered = kernels[torch.sort(kernels.select(1, 0)).indices]
    latest = torch.cummax(ordered[:, 1], 0)[0]
    return torch.relu(ordered[1:, 0] - latest[:-1]).sum() / (kernels.max() - kernels.min())


def share_split(batch, rank, world):
    return torch.tensor_split(batch, world)[rank]


def share_numpy(batch, rank, world):
    return torch.from_numpy(np.array_split(batch.detach().numpy(), world)[rank])


def share_bounds(batch, rank, world):
    bounds = [k * len(batch) // world for k in range(world + 1)]
    return batch[bounds[rank] : bounds[rank + 1]]


def share_indices(batch, rank, world):
    n = batch.size(0)
    index = torch.arange(n)
    return batch[(index >= rank * n // world) & (index < (rank + 1) * n // world)]


def share_divmod(batch, rank, world):
    each, more = divmod(len(batch), world)
    begin = rank * each + min(rank, more)
    return batch[begin : begin + each + (rank < more)]


def share_narrow(batch, rank, world):
    begin, end = (len(batch) * k // world for k in (rank, rank + 1))
    return batch.narrow(0, begin, end - begin)


RIGHT = {
    "resumable": [
        parts_in_a_loop,
        a_tuple_and_try,
        two_files_in_turn,
        functions_inside,
        saves_the_start_too,
        keeps_every_state,
    ],
    "idle_share": [
        idle_by_a_loop,
        idle_by_merging,
        idle_by_events,
        idle_numpy,
        idle_by_comparing_all,
        idle_by_sorting_apart,
        idle_relu,
    ],
    "share_of": [
        share_split,
        share_numpy,
        share_bounds,
        share_indices,
        share_divmod,
        share_narrow,
    ],
}

WRONG = {
    "resumable": ("""def resumable(disk, model, average, optimizer, generator, learn, until):
    seen = 0
    if "run" in disk:
        saved = disk.read("run")
        seen = saved["seen"]
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
    while seen < until:
        seen = learn(seen)
        disk.write("new", {"seen": seen, "model": model.state_dict(), "average": average.state_dict(),
                           "optimizer": optimizer.state_dict()})
        disk.rename("new", "run")
""", "The generator's state is not saved"),
    "idle_share": ("""def idle_share(kernels):
    busy = (kernels[:, 1] - kernels[:, 0]).sum()
    return 1 - busy / (kernels[:, 1].max() - kernels[:, 0].min())
""", "counted twice"),
    "share_of": ("""def share_of(batch, rank, world):
    n = len(batch) // world
    return batch[rank * n : rank * n + n]
""", "go to nobody"),
}

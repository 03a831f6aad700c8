"""Exercises of notebook 13: a loop that survives a kill, a trace with a wait in it, one batch shared by many processes."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from . import Case, Exercise, randn, uniform


def resumable(disk, model, average, optimizer, generator, learn, until):
    """Train until `until` images are seen, so that a kill at any moment costs at most the batch at hand.

    disk: `"name" in disk`; disk.read(name); disk.write(name, state); disk.rename(old, new), which is done in one instant.
    model, average, optimizer have state_dict() and load_state_dict(state); generator, which draws the batches, has
    get_state() and set_state(state). learn(seen) learns one more batch and returns how many images are seen then.
    Save after every batch. Called again after a kill, with fresh parts, it goes on from what is on the disk.
    """
    seen = 0
    if "run" in disk:
        saved = disk.read("run")
        seen = saved["seen"]
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["order"])
    while seen < until:
        seen = learn(seen)
        state = {"seen": seen, "model": model.state_dict(), "average": average.state_dict(),
                 "optimizer": optimizer.state_dict(), "order": generator.get_state()}
        disk.write("new", state)
        disk.rename("new", "run")


BATCH = 7  # images; a number that no counter of an optimiser comes to
PARTS = ("seen", "model", "average", "optimizer", "order")
TORN = object()  # what stands in a file that is being written


class Cut(BaseException):
    """The process is killed here. Nothing of it runs on: what it still tries to do raises this again."""


class Disk:
    """A pretend disk, on which a process can be killed at any moment. A write takes time: half way through, the file is torn."""

    def __init__(self, cut_at: int = 0):
        self.files: dict[str, Any] = {}
        self.cut_at, self.dead = cut_at, False
        self.moments: list[str] = []  # at which the process might have been killed: "learn", "begin", "half", "rename"

    def moment(self, what: str) -> None:
        """The process may be killed now; and it is, at moment number cut_at."""
        if not self.dead:
            self.moments.append(what)
            self.dead = len(self.moments) == self.cut_at
        if self.dead:
            raise Cut
        if len(self.moments) > 400:
            raise RuntimeError("It goes on without end.")

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def read(self, name: str) -> Any:
        if name not in self.files:
            raise FileNotFoundError(f"There is no file {name!r} on the disk.")
        if self.files[name] is TORN:
            raise EOFError(f"The file {name!r} is cut short.")
        return copy.deepcopy(self.files[name])

    def write(self, name: str, state: Any) -> None:
        whole = copy.deepcopy(state)
        self.moment("begin")
        self.files[name] = TORN
        self.moment("half")
        self.files[name] = whole

    def rename(self, old: str, new: str) -> None:
        self.moment("rename")
        if old not in self.files:
            raise FileNotFoundError(f"There is no file {old!r} on the disk.")
        self.files[new] = self.files.pop(old)


class _Process:
    """Fresh parts, always the same for a seed, and a `learn` that notes what it was called with."""

    def __init__(self, disk: Disk, seed: int = 0):
        self.disk = disk
        self.model = nn.utils.skip_init(nn.Linear, 3, 2)  # draws no random numbers
        with torch.no_grad():
            self.model.weight.copy_(randn(seed, 2, 3))
            self.model.bias.copy_(randn(seed + 1, 2))
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), foreach=False)
        self.generator = torch.Generator().manual_seed(seed + 2)
        self.begun: dict[str, Any] | None = None  # how things stood when it first learned
        self.learned = 0

    def learn(self, seen: int) -> int:
        if self.begun is None:
            self.begun = self.now(seen)
        self.disk.moment("learn")
        if self.learned > 30:
            raise RuntimeError("It learns without end.")
        x = torch.randn(BATCH, 3, generator=self.generator)
        self.optimizer.param_groups[0]["lr"] = 0.1 / (1 + abs(float(seen)) / 10)
        with torch.enable_grad():
            self.optimizer.zero_grad()
            (self.model(x) - x[:, :2]).square().mean().backward()
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mine.lerp_(theirs, 0.3)
        self.learned += 1
        return seen + BATCH

    def now(self, seen: int) -> dict[str, Any]:
        moments = [value.clone() for state in self.optimizer.state.values() for value in state.values()]
        return {"seen": seen, "model": self.model.weight.detach().clone(), "average": self.average.weight.detach().clone(),
                "optimizer": torch.cat([value.flatten() for value in moments]) if moments else torch.zeros(0),
                "order": self.generator.get_state()}

    def arguments(self, until: int) -> tuple:
        return self.disk, self.model, self.average, self.optimizer, self.generator, self.learn, until


def _resumable_cases(seed: int) -> list[Case]:
    return [
        Case("an empty disk", _Process(Disk(), 10 * seed).arguments(3 * BATCH)),
        Case("an end that is no multiple of the batch", _Process(Disk(), 10 * seed + 3).arguments(2 * BATCH + 1)),
        Case("no images at all", _Process(Disk(), 10 * seed + 6).arguments(0)),
    ]


WHAT = {"seen": "The images seen are", "model": "The model's weights are", "average": "The average is",
        "optimizer": "The optimiser's state is", "order": "The generator's state is"}
NOT_SAVED = {
    "seen": "The images seen are not saved: after a restart it counts from 0 again.",
    "model": "The model's weights are not saved: after a restart it has fresh ones.",
    "average": "The average is not saved: after a restart it has fresh weights.",
    "optimizer": "The optimiser's state is not saved: after a restart its moments begin at zero.",
    "order": "The generator's state is not saved: after a restart the first batches come again.",
}
NOT_BACK = {part: f"{what} saved, but after a restart not put back." for part, what in WHAT.items()}
OTHER_MOMENT = {part: f"{what} wrong after a restart: look at when, and from what, they are saved." for part, what in WHAT.items()}
BEGINS_AGAIN = "After a kill it starts from the beginning: look on the disk before the first batch."
TORN_READ = "After a kill it reads the file that was cut short: trust only the name that a rename gave, for there stands a whole one."
STALE = "The optimiser's state on the disk is that of the beginning: build the state anew after every batch."
TORN_FILE = "A kill while it writes leaves half a file where the good one stood: write under another name, then rename."
NEVER = "When the kill came, nothing was saved yet: save after every batch, for a kill gives no warning."
LATE = "A batch that was learned is lost after a kill: save after every one."
SEVERAL = "After a kill between two writes the parts belong to different moments: put all of them into one file."
GONE = "At one moment no whole state is there to be found: the good file must stay until the new one is in its place."
LAST = "A finished training that is called again learns on: save after the last batch, too."
IDLE = "A finished training that is called again should have its parts put back, too."


def _truth(batches: int) -> list[dict[str, Any]]:
    """How things stand after each batch of a training that nobody kills."""
    process, states = _Process(Disk()), []
    for k in range(batches):
        states.append(process.now(k * BATCH))
        process.learn(k * BATCH)
    return [*states, process.now(batches * BATCH)]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other


def _matches(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [part for part in PARTS if _same(found[part], wanted[part])]


def _survives_every_kill(fn: Callable) -> str | None:
    """Kill it at every moment there is, and compare what the next process begins with."""
    batches = 4
    truth, until, whole = _truth(batches), batches * BATCH, Disk()
    fn(*_Process(whole).arguments(until))
    moments, learned, early = whole.moments[:60], 0, []
    for what in moments:
        early.append(what != "learn" or learned < 2)
        learned += what == "learn"
    for index in sorted(range(len(moments)), key=lambda i: early[i]):  # first those that tell most: nothing is being written
        disk = Disk(cut_at=index + 1)
        killed, then = _Process(disk), _Process(disk)
        with contextlib.suppress(Cut):
            fn(*killed.arguments(until))
        disk.dead, disk.cut_at, kept = False, 0, dict(disk.files)
        try:
            fn(*then.arguments(until))
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0].split()
            if moments[index] == "half":
                return TORN_READ if "rename" in moments else TORN_FILE
            return f"After a kill it fails: {type(error).__name__}: {' '.join(said[:12])}"
        if complaint := _wrong_start(then.begun or then.now(until), truth, killed.learned, kept, moments[index]):
            return complaint
    again = _Process(whole)
    whole.moments.clear()
    fn(*again.arguments(until))
    if again.learned:
        return LAST
    return None if _matches(again.now(until), truth[-1]) == list(PARTS) else IDLE


def _wrong_start(begun: dict[str, Any], truth: list[dict[str, Any]], learned: int, kept: dict, at: str) -> str | None:
    """What is wrong with how a process begins, after one that had learned so many batches was killed at such a moment."""
    allowed = [truth[learned]] if at == "learn" else [truth[learned], truth[max(learned - 1, 0)]]
    if any(_matches(begun, state) == list(PARTS) for state in allowed):
        return None
    if _matches(begun, truth[0]) == list(PARTS):
        if at == "learn":
            return BEGINS_AGAIN if kept else NEVER
        return TORN_FILE if at == "half" else GONE
    if any(_matches(begun, state) == list(PARTS) for state in truth):
        return LATE
    if at != "learn" and all(any(_same(begun[part], state[part]) for state in allowed) for part in PARTS):
        return SEVERAL
    best = max(allowed, key=lambda state: len(_matches(begun, state)))
    part = next(part for part in PARTS if not _same(begun[part], best[part]))
    if not _same(begun[part], truth[0][part]):
        return OTHER_MOMENT[part]
    if part == "optimizer" and any(_is_fresh_optimizer(leaf) for leaf in kept.values()):
        return STALE
    return NOT_BACK[part] if _found(best[part], kept) else NOT_SAVED[part]


def _is_fresh_optimizer(kept: Any) -> bool:
    """Whether the state of an optimiser that never took a step is among what was saved."""
    if isinstance(kept, dict) and kept.keys() == {"state", "param_groups"}:
        return not kept["state"]
    parts = kept.values() if isinstance(kept, dict) else kept if isinstance(kept, list | tuple) else ()
    return any(_is_fresh_optimizer(part) for part in parts)


def _found(value: Any, kept: Any) -> bool:
    """Whether what was saved holds this value somewhere; of an optimiser's state, its first moments."""
    if isinstance(value, Tensor) and value.ndim == 1 and value.dtype != torch.uint8:
        value = value[1:7].reshape(2, 3)  # Adam's step count, then the weight's exp_avg
    return any(_same(value, leaf) for leaf in _leaves(kept))


def _leaves(kept: Any) -> Iterator[Any]:
    if isinstance(kept, dict):
        kept = list(kept.values())
    if isinstance(kept, list | tuple):
        for part in kept:
            yield from _leaves(part)
    elif isinstance(kept, nn.Module):
        yield from kept.state_dict().values()
    elif isinstance(kept, torch.optim.Optimizer):
        yield from _leaves(kept.state_dict())
    elif isinstance(kept, torch.Generator):
        yield kept.get_state()
    else:
        yield kept


def _state(seen, model, average, optimizer, generator) -> dict[str, Any]:
    return {"seen": seen, "model": model.state_dict(), "average": average.state_dict(),
            "optimizer": optimizer.state_dict(), "order": generator.get_state()}


def _put_back(saved: dict[str, Any], model, average, optimizer, generator, wanted: tuple[str, ...] = PARTS) -> int:
    """Give the wanted parts what was saved; the images seen."""
    for name, part in (("model", model), ("average", average), ("optimizer", optimizer)):
        if name in wanted:
            part.load_state_dict(saved[name])
    if "order" in wanted:
        generator.set_state(saved["order"])
    return saved["seen"] if "seen" in wanted else 0


def _put(disk, state) -> None:
    disk.write("new", state)
    disk.rename("new", "run")


def _saving(save: Callable = _put, load: Callable | None = None, parts: tuple[str, ...] = PARTS, back: tuple[str, ...] | None = None,
            every: int = 1):
    """A wrong way: other parts saved, or put back; or another `save(disk, state)`, another `load(disk)`."""
    def wrong(disk, model, average, optimizer, generator, learn, until):
        seen, steps = 0, 0
        saved = (load or (lambda d: d.read("run") if "run" in d else None))(disk)
        if saved is not None:
            seen = _put_back(saved, model, average, optimizer, generator, parts if back is None else back)
        while seen < until:
            seen, steps = learn(seen), steps + 1
            state = _state(seen, model, average, optimizer, generator)
            if steps % every == 1 % every:
                save(disk, {name: state[name] for name in parts})
    return wrong


def _without(part: str) -> tuple[str, ...]:
    return tuple(name for name in PARTS if name != part)


def _several_files(disk, state):
    for name, part in state.items():
        disk.write("new", part)
        disk.rename("new", name)


def _from_several(disk):
    return {name: disk.read(name) for name in PARTS} if all(name in disk for name in PARTS) else None


def _moved_away(disk, state):
    if "run" in disk:
        disk.rename("run", "old")
    _put(disk, state)


def _only_at_the_end(disk, model, average, optimizer, generator, learn, until):
    seen = _put_back(disk.read("run"), model, average, optimizer, generator) if "run" in disk else 0
    try:
        while seen < until:
            seen = learn(seen)
    finally:
        _put(disk, _state(seen, model, average, optimizer, generator))


def _order_of(first: str):
    """The state is taken before the batch is learned ("state"), or saved before it ("save")."""
    def wrong(disk, model, average, optimizer, generator, learn, until):
        seen = _put_back(disk.read("run"), model, average, optimizer, generator) if "run" in disk else 0
        while seen < until:
            before, seen = seen, seen if first == "save" else learn(seen)
            _put(disk, _state(before, model, average, optimizer, generator))
            if first == "save":
                seen = learn(seen)
    return wrong


def _rebinds(disk, model, average, optimizer, generator, learn, until):
    seen = 0
    if "run" in disk:
        seen, model, average, optimizer, order = disk.read("run")
        generator.set_state(order)
    while seen < until:
        seen = learn(seen)
        _put(disk, (seen, model, average, optimizer, generator.get_state()))


def _average_from_model(disk, model, average, optimizer, generator, learn, until):
    seen = 0
    if "run" in disk:
        saved = disk.read("run")
        seen = _put_back(saved | {"average": saved["model"]}, model, average, optimizer, generator)
    while seen < until:
        seen = learn(seen)
        _put(disk, _state(seen, model, model, optimizer, generator))


def _reads_the_torn_file(disk, model, average, optimizer, generator, learn, until):
    name = "new" if "new" in disk else "run"
    seen = _put_back(disk.read(name), model, average, optimizer, generator) if name in disk else 0
    while seen < until:
        seen = learn(seen)
        _put(disk, _state(seen, model, average, optimizer, generator))


def _one_state_for_all(disk, model, average, optimizer, generator, learn, until):
    seen = _put_back(disk.read("run"), model, average, optimizer, generator) if "run" in disk else 0
    state = _state(seen, model, average, optimizer, generator)
    while seen < until:
        seen = state["seen"] = learn(seen)
        _put(disk, state)


def _at_least_to(least: Callable):
    """The right loop to another end: least(until)."""
    return lambda disk, model, average, optimizer, generator, learn, until: resumable(
        disk, model, average, optimizer, generator, learn, least(until))


def _one_batch(disk, model, average, optimizer, generator, learn, until):
    learn(0)


def _does_not_count(disk, model, average, optimizer, generator, learn, until):
    for seen in range(0, until, BATCH):
        learn(0 * seen)


RESUMABLE = Exercise(
    resumable,
    hints=(
        "Five things are needed to go on. All of them go into one state, under names. Look for it before the loop.",
        "Half-written files are the danger: write the new state under a second name, and rename it when it is whole.",
    ),
    cases=_resumable_cases,
    changes=("model", "average"),
    variants=(),
    probes=(_survives_every_kill,),
    mistakes={
        **{sentence: _saving(parts=_without(part)) for part, sentence in NOT_SAVED.items()},
        **{sentence: _saving(back=_without(part)) for part, sentence in NOT_BACK.items() if part != "model"},
        NOT_BACK["model"]: (_saving(back=_without("model")), _rebinds),
        OTHER_MOMENT["average"]: _average_from_model,
        OTHER_MOMENT["seen"]: _order_of("state"),
        BEGINS_AGAIN: _saving(load=lambda disk: None),
        TORN_FILE: (
            _saving(save=lambda disk, state: disk.write("run", state)),
            _saving(save=lambda disk, state: (disk.write("run", state), disk.write("copy", state))),
        ),
        NEVER: _only_at_the_end,
        LATE: (_saving(every=2), _saving(every=100)),
        SEVERAL: _saving(save=_several_files, load=_from_several),
        GONE: _saving(save=_moved_away),
        LAST: _order_of("save"),
        TORN_READ: _reads_the_torn_file,
        STALE: _one_state_for_all,
        "It trains for too long: it should end when `until` images are seen.": _at_least_to(lambda until: until + BATCH),
        "Where the images seen are just `until`, it learns one batch too many: there the end is reached.":
            _at_least_to(lambda until: until + 1),
        "With nothing to learn it still learns a batch: look before the first one whether the end is reached.":
            _at_least_to(lambda until: max(until, 1)),
        "It learns a single batch: go on until enough images are seen.": _one_batch,
        "The batches learn with a count that does not grow: pass on how many images are seen.": _does_not_count,
    },
)


def idle_share(kernels):
    """How much of a GPU's time is lost: the share in which none of its kernels runs.

    kernels: (N, 2), start and end of each in microseconds, in any order. Two may run at once, one may contain another.
    Returns a number from 0 to 1: the time without any kernel, divided by the time from the first start to the last end.
    """
    start, end = kernels[kernels[:, 0].argsort()].unbind(1)
    until = end.cummax(0).values
    gaps = (start[1:] - until[:-1]).clamp(min=0)
    return gaps.sum() / (until[-1] - start[0])


def _idle_cases(seed: int) -> list[Case]:
    def shuffled(rows: Tensor, k: int) -> Tensor:
        return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed + k))]

    def row(k: int, n: int = 9, begin: float = 100.0) -> Tensor:
        """n kernels, one after the other, with gaps."""
        lengths = 10 + 30 * uniform(seed + k, n)
        steps = lengths + 1 + 25 * uniform(seed + k + 1, n)
        start = begin + steps.cumsum(0) - steps
        return torch.stack([start, start + lengths], 1)

    plain, second = row(1), row(5, 6, 118.0)
    inside = torch.cat([row(9, 5), torch.tensor([[90.0, 260.0], [105.0, 112.0]])])
    last = torch.tensor([[50.0, 60.0], [70.0, 300.0], [80.0, 95.0], [400.0, 420.0]]) + uniform(seed + 17, 1)
    long = torch.tensor([[3.0, 9.0], [20.0, 900.0], [30.0, 40.0], [50.0, 70.0]]) + uniform(seed + 19, 1)
    return [
        Case("kernels one after the other", (plain,)),
        Case("kernels that are not in order", (shuffled(plain, 2),)),
        Case("two streams at once", (shuffled(torch.cat([plain, second]), 3),)),
        Case("a kernel inside another", (shuffled(inside, 4),)),
        Case("a long kernel that outlasts the next", (last,)),
        Case("a kernel that ends last and did not start last", (shuffled(long, 6),)),
        Case("a single kernel", (row(23, 1),)),
    ]


def _gaps_by(change: Callable):
    """A wrong way on kernels in order of their start: change(start, end, until) gives what is returned."""
    def wrong(kernels):
        start, end = kernels[kernels[:, 0].argsort()].unbind(1)
        return change(start, end, end.cummax(0).values)
    return wrong


def _sum_of(gaps: Tensor) -> Tensor:
    return gaps.clamp(min=0).sum()


IDLE_SHARE = Exercise(
    idle_share,
    hints=(
        "Sort the kernels by their start. A gap opens where one starts after all earlier ones have ended.",
        "`argsort` gives the order, `cummax` the latest end so far, `clamp` takes out what is negative. Then divide by the whole time.",
    ),
    cases=_idle_cases,
    mistakes={
        "This is the share in which the GPU works: the rest was asked for.": (
            _gaps_by(lambda s, e, u: 1 - _sum_of(s[1:] - u[:-1]) / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: (e - s).sum() / (u[-1] - s[0])),
        ),
        "Kernels that run at the same time are counted twice: look for the gaps, or join what overlaps.": (
            _gaps_by(lambda s, e, u: 1 - (e - s).sum() / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: (1 - (e - s).sum() / (u[-1] - s[0])).clamp(min=0)),
        ),
        "The kernels are taken as they come: sort them by their start first.": (
            lambda k: _sum_of(k[1:, 0] - k[:, 1].cummax(0).values[:-1]) / (k[:, 1].max() - k[:, 0].min()),
            lambda k: _sum_of(k[1:, 0] - k[:-1, 1]) / (k[:, 1].max() - k[:, 0].min()),
            lambda k: _sum_of(k[1:, 0] - k[:, 1].cummax(0).values[:-1]) / (k[-1, 1] - k[0, 0]),
            lambda k: _sum_of(k[1:, 0] - k[:-1, 1]) / (k[-1, 1] - k[0, 0]),
        ),
        "A gap begins where the kernel before ends, though a longer one still runs: keep the latest end so far.": (
            _gaps_by(lambda s, e, u: _sum_of(s[1:] - e[:-1]) / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: _sum_of(s[1:] - e[:-1]) / (e[-1] - s[0])),
        ),
        "Where kernels overlap, the gap between them is negative: it should count as none.": (
            _gaps_by(lambda s, e, u: (s[1:] - u[:-1]).sum() / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: (s[1:] - e[:-1]).sum() / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: (s[1:] - e[:-1]).sum() / (e[-1] - s[0])),
        ),
        "The overlaps' sizes are added, too: a negative gap should count as none.": (
            _gaps_by(lambda s, e, u: (s[1:] - u[:-1]).abs().sum() / (u[-1] - s[0])),
            _gaps_by(lambda s, e, u: (s[1:] - e[:-1]).abs().sum() / (u[-1] - s[0])),
        ),
        "The time is counted from 0: it begins with the first kernel.": _gaps_by(lambda s, e, u: _sum_of(s[1:] - u[:-1]) / u[-1]),
        "The whole time ends with the kernel that started last: another may end later.":
            _gaps_by(lambda s, e, u: _sum_of(s[1:] - u[:-1]) / (e[-1] - s[0])),
        "It is divided by the time in which kernels run: divide by the whole time.": (
            _gaps_by(lambda s, e, u: _sum_of(s[1:] - u[:-1]) / (e - s).sum()),
            _gaps_by(lambda s, e, u: _sum_of(s[1:] - u[:-1]) / (u[-1] - s[0] - _sum_of(s[1:] - u[:-1]))),
        ),
        "This is a time in microseconds: divide it by the whole time.": _gaps_by(lambda s, e, u: _sum_of(s[1:] - u[:-1])),
        "This is in per cent: a number from 0 to 1 was asked for.":
            _gaps_by(lambda s, e, u: 100 * _sum_of(s[1:] - u[:-1]) / (u[-1] - s[0])),
        "Only the longest gap is counted: all of them are lost time.":
            _gaps_by(lambda s, e, u: torch.cat([s[:1] * 0, s[1:] - u[:-1]]).max() / (u[-1] - s[0])),
        "The gaps are averaged: their sum is what is lost.":
            _gaps_by(lambda s, e, u: (s[1:] - u[:-1]).clamp(min=0).mean() / (u[-1] - s[0])),
        "The kernels are sorted by their end: a gap opens at a start.":
            lambda k: _sum_of(k[k[:, 1].argsort()][1:, 0] - k[k[:, 1].argsort()][:-1, 1]) / (k[:, 1].max() - k[:, 0].min()),
    },
)


def share_of(batch, rank, world):
    """What one of several processes learns from: its part of the global batch.

    batch: (B, ...), the same on every process; rank: this process's number, 0 ... world - 1; world: how many there are.
    The parts of rank 0, 1, ... one after the other make the batch again. Their lengths differ by at most one.
    """
    return batch[rank * len(batch) // world : (rank + 1) * len(batch) // world]


def _larger_first(batch, rank, world):
    return batch.tensor_split(world)[rank]


def _rounded(batch, rank, world):
    return batch[round(rank * len(batch) / world) : round((rank + 1) * len(batch) / world)]


def _share_cases(seed: int) -> list[Case]:
    def case(label: str, size: tuple[int, ...], rank: int, world: int) -> Case:
        return Case(label, (randn(seed + 100 * size[0] + 10 * world, *size), rank, world))

    return [
        case("the first of two", (8, 1, 3, 4), 0, 2),
        case("the last of two", (8, 1, 3, 4), 1, 2),
        case("a batch that does not divide evenly, first part", (11, 2), 0, 4),
        case("a batch that does not divide evenly, second part", (11, 2), 1, 4),
        case("a batch that does not divide evenly, third part", (11, 2), 2, 4),
        case("a batch that does not divide evenly, last part", (11, 2), 3, 4),
        case("a single process", (5, 3), 0, 1),
        case("as many processes as images", (3, 2), 1, 3),
        case("thirteen numbers for five, the fourth part", (13,), 3, 5),
    ]


SHARE_OF = Exercise(
    share_of,
    hints=(
        "Where does the part of a rank begin? Where the part of the rank before it ends.",
        "Try to begin at rank times B divided by world, rounded down. The end is the beginning of the next rank's part.",
    ),
    cases=_share_cases,
    also=(_larger_first, _rounded),
    mistakes={
        "Every process gets the whole batch: then all do the same work, and none is saved.": lambda batch, rank, world: batch,
        "Every process gets the first part: rank says which.": lambda batch, rank, world: batch[: len(batch) // world],
        "The images that are left over go to nobody: every one should be learned from.": (
            lambda batch, rank, world: batch[rank * (len(batch) // world) : (rank + 1) * (len(batch) // world)],
            lambda batch, rank, world: batch[: len(batch) // world * world].chunk(world)[rank],
        ),
        "The last process gets all that is left over: the lengths should differ by at most one.":
            lambda batch, rank, world: batch[rank * (len(batch) // world) :] if rank == world - 1
            else batch[rank * (len(batch) // world) : (rank + 1) * (len(batch) // world)],
        "The last image of each part is missing: the end of a slice is not in it.":
            lambda batch, rank, world: batch[rank * len(batch) // world : (rank + 1) * len(batch) // world - 1],
        "The parts overlap: each begins one image after the one before, where it should begin at its end.":
            lambda batch, rank, world: batch[rank : rank + len(batch) // world],
        "The ranks are counted from 1: they go from 0 to world - 1.":
            lambda batch, rank, world: batch[(rank - 1) * len(batch) // world : rank * len(batch) // world],
        "Every world-th image is taken: put in a row by rank, the parts should make the batch again.":
            lambda batch, rank, world: batch[rank::world],
        "Each process draws images of its own: some are then learned twice and others not at all.": (
            lambda batch, rank, world: batch[torch.randperm(len(batch))[: len(batch) // world]],
            lambda batch, rank, world:
                batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(rank))[: len(batch) // world]],
            lambda batch, rank, world: batch[torch.randint(len(batch), (len(batch) // world,))],
        ),
        "It is rounded up: the first processes take too much, and little or nothing is left for the last.": (
            lambda batch, rank, world: batch.chunk(world)[rank],
            lambda batch, rank, world: batch[rank * -(-len(batch) // world) : (rank + 1) * -(-len(batch) // world)],
        ),
        "The parts stand in the wrong order: rank 0 has the first one.":
            lambda batch, rank, world: batch[(world - 1 - rank) * len(batch) // world : (world - rank) * len(batch) // world],
        "It goes on to the end of the batch: a part ends where the next rank's begins.":
            lambda batch, rank, world: batch[rank * len(batch) // world :],
        "It begins at the first image: a part begins where the one before it ends.":
            lambda batch, rank, world: batch[: (rank + 1) * len(batch) // world],
        "This is one image: a part of the batch was asked for.": lambda batch, rank, world: batch[rank],
    },
)


EXERCISES = (RESUMABLE, IDLE_SHARE, SHARE_OF)

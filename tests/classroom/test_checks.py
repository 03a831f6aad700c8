"""The check engine: it names what is wrong, never raises, never hangs, and leaves the process as it was."""

import contextlib
import io
import itertools
import random
import sys
import threading
import time

import numpy as np
import pytest
import torch

from ddpm_course.classroom import checks, sandbox, store
from ddpm_course.classroom.checks import Verdict, check
from ddpm_course.classroom.compare import different
from ddpm_course.classroom.exercises import EXERCISES, Case, Exercise, randn

RIGHT = EXERCISES["q_sample"].solution


@pytest.fixture(autouse=True)
def own_record(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store.forget()
    yield
    store.forget()


def in_two_seconds(fn):
    start = time.perf_counter()
    verdict = check.q_sample(fn)
    assert time.perf_counter() - start < 2 * sandbox.patience()
    assert isinstance(verdict, Verdict)
    assert len(verdict.message.split()) <= checks.WORDS + 1
    assert "\n" not in repr(verdict)
    return verdict


def spins(x0, t, noise, alpha_bar):
    while True:
        pass


def spins_and_holds_on(x0, t, noise, alpha_bar):
    while True:
        with contextlib.suppress(BaseException):
            sum(range(100))


def sleeps(x0, t, noise, alpha_bar):
    time.sleep(100)


def counts(x0, t, noise, alpha_bar):
    for _ in itertools.count():
        x0 = x0 + 0


def prints_for_ever(x0, t, noise, alpha_bar):
    while True:
        print("still here")


@pytest.mark.parametrize("fn", [spins, spins_and_holds_on, sleeps, counts, prints_for_ever], ids=lambda fn: fn.__name__)
def test_hangs_are_ended(fn, capsys):
    verdict = in_two_seconds(fn)
    assert verdict.status == "wrong"
    assert "still running after 1.5 seconds" in verdict.message
    assert ("print" if fn is prints_for_ever else "a loop that never ends") in verdict.message
    assert capsys.readouterr().out == ""
    assert check.q_sample(RIGHT).status == "right"  # nothing of it lingers


def test_hang_names_the_line():
    assert "(`time.sleep(100)`)" in check.q_sample(sleeps).message


LATE = []


def late(x0, t, noise, alpha_bar):
    if not LATE:
        LATE.append(time.sleep(2))
    return RIGHT(x0, t, noise, alpha_bar)


@pytest.mark.parametrize(("load", "status"), [(0.0, "wrong"), (100.0, "right")])
def test_on_a_busy_machine_a_right_answer_may_come_late(load, status, monkeypatch):
    monkeypatch.setattr(sandbox.os, "getloadavg", lambda: (load, load, load), raising=False)
    LATE.clear()
    assert check.q_sample(late).status == status


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how long a thread has computed; elsewhere the clock decides")
def test_busy_or_not_a_loop_is_ended_by_the_time_that_it_computes(monkeypatch):
    monkeypatch.setattr(sandbox, "patience", lambda: 100.0)
    before = time.process_time()
    assert "still running after 1.5 seconds" in check.q_sample(spins).message
    assert time.process_time() - before < 3


def test_waiting_for_a_core_does_not_count(monkeypatch):
    monkeypatch.setattr(sandbox, "_use", lambda thread: (0.0, True))
    monkeypatch.setattr(sandbox, "patience", lambda: 1.0)
    assert sandbox.in_time(lambda: time.sleep(0.5) or "done", 0.1) == "done"
    assert isinstance(sandbox.in_time(lambda: time.sleep(60), 0.05), sandbox.TimeUp)  # not for ever


def test_no_loop_is_left_behind():
    in_two_seconds(spins)
    time.sleep(0.1)
    frames = [frame for ident, frame in sys._current_frames().items() if ident != threading.get_ident()]
    assert not any(frame.f_code is spins.__code__ for frame in frames)


def raising(error):
    def fn(x0, t, noise, alpha_bar):
        raise error

    return fn


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


def recursion(x0, t, noise, alpha_bar):
    return recursion(x0, t, noise, alpha_bar)


@pytest.mark.parametrize(("fn", "words"), [
    (raising(SystemExit(1)), "ends the program"),
    (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
    (raising(GeneratorExit()), "GeneratorExit"),
    (raising(Mute()), "Mute"),
    (raising(ValueError("a\nb" * 10000)), "ValueError: a"),
    (raising(ValueError(" ".join(map(str, range(1000))))), "…"),
    (recursion, "calls itself without end"),
    (3, "An int came in"),
    (torch.zeros(2), "pass the function itself, check.q_sample(q_sample)"),
    ("q_sample", "A str came in"),
    (lambda: 0, "x0, t, noise, alpha_bar"),
    (lambda x0, t, noise: x0, "cannot be called with its 4 arguments"),
    (lambda x0, t, noise, alpha_bar, schedule: x0, "cannot be called with its 4 arguments"),
    (lambda x0, noise, t, alpha_bar: RIGHT(x0, t, noise, alpha_bar), "another order"),
    (lambda *args: print(args), "returns None"),
    (lambda *args: [RIGHT(*args)], "a list where a tensor"),
    (lambda *args: (RIGHT(*args),), "stray comma"),
    (lambda *args: (RIGHT(*args), args[2]), "a tuple where a tensor"),
    (lambda *args: RIGHT(*args).numpy(), "a numpy array where a tensor"),
    (lambda *args: 1.0, "a float where a tensor"),
    (lambda *args: RIGHT(*args) * float("nan"), "NaN"),
    (lambda *args: RIGHT(*args) / 0, "infinity"),
    (lambda *args: RIGHT(*args)[0], "shape (1, 6, 6) where (1, 1, 6, 6)"),
    (lambda *args: RIGHT(*args).half(), "torch.float16"),
    (lambda *args: RIGHT(*args).bfloat16(), "torch.bfloat16"),
    (lambda *args: RIGHT(*args).long(), "torch.int64"),
    (lambda *args: RIGHT(*args).to("meta"), "could not be judged"),
    (lambda *args: RIGHT(*args).to_sparse(), ""),
    (lambda *args: RIGHT(*args) + 0.05, "off by up to 0.05"),
    (lambda x0, t, noise, alpha_bar: RIGHT(x0, t * 0 + 3, noise, alpha_bar), "`t` has no effect"),
    (lambda x0, t, noise, alpha_bar: RIGHT(x0, t, noise, missing), "NameError"),  # noqa: F821 (the undefined name is the case)
    (lambda x0, t, noise, alpha_bar: alpha_bar.sqrt() * x0, "Line "),
    (torch.cumprod, ""),
    (torch.nn.Linear, ""),
    (torch.nn.Linear(2, 2), ""),
    (print, "returns None"),
])  # fmt: skip
def test_anything_gets_a_sentence(fn, words):
    verdict = in_two_seconds(fn)
    assert verdict.status == "wrong"
    assert words in verdict.message


def untouched(x0, t, noise, alpha_bar):
    """A docstring."""
    raise NotImplementedError("Write me")


def emptied(x0, t, noise, alpha_bar):
    """A docstring."""


@pytest.mark.parametrize("fn", [None, ..., untouched, emptied, lambda x0, t, noise, alpha_bar: ...])
def test_not_attempted(fn):
    assert in_two_seconds(fn).status == "not attempted"


def test_not_implemented_by_torch_is_an_attempt():
    def fn(x0, t, noise, alpha_bar):
        return torch.empty(2, device="meta").cpu()

    with pytest.raises(NotImplementedError):
        fn(*EXERCISES["q_sample"].cases(0)[0].args)
    assert in_two_seconds(fn).status == "wrong"


def test_prints_are_swallowed_and_others_pass(capsys):
    def fn(*args):
        for _ in range(1000):
            print("noise")
        print("noise", file=sys.stderr)
        return RIGHT(*args)

    stop = threading.Event()
    other = threading.Thread(target=lambda: (print("from another thread"), stop.wait(5)))
    out = sys.stdout
    other.start()
    verdict = check.q_sample(fn)
    stop.set()
    other.join()
    assert verdict.status == "right"
    assert sys.stdout is out
    captured = capsys.readouterr()
    assert captured.out == "from another thread\n"
    assert captured.err == ""


def test_a_million_lines():
    def fn(*args):
        for _ in range(1_000_000):
            print("noise")
        return RIGHT(*args)

    in_two_seconds(fn)


def seeds(*args):
    torch.manual_seed(0)
    return RIGHT(*args)


def draws_numpy(*args):
    np.random.rand()
    return RIGHT(*args)


def draws_python(*args):
    random.random()
    return RIGHT(*args)


def doubles(*args):
    torch.set_default_dtype(torch.float64)
    return RIGHT(*args)


def grads_off(*args):
    torch.set_grad_enabled(False)
    return RIGHT(*args)


def closes(*args):
    sys.stdout.close()
    sys.stdout = io.StringIO()
    return RIGHT(*args)


@pytest.mark.parametrize(("fn", "words"), [
    (seeds, "random numbers of its own"), (draws_numpy, "random numbers of its own"), (draws_python, "random numbers of its own"),
    (doubles, "default dtype"), (grads_off, "grad mode"), (closes, ""),
])  # fmt: skip
def test_global_state_is_named_and_put_back(fn, words, capsys):
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    before, out = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()), sys.stdout
    verdict = in_two_seconds(fn)
    assert (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()) == before
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert sys.stdout is out and not out.closed
    assert words in verdict.message
    assert verdict.status == ("wrong" if words else "right")


def test_state_is_put_back_after_a_hang():
    def fn(*args):
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(1)
        spins(*args)

    before = torch.get_rng_state()
    in_two_seconds(fn)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(before, torch.get_rng_state())


def scaled(x0, t, noise, alpha_bar):
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    x0 *= a.sqrt()
    return x0 + (1 - a).sqrt() * noise


def emptied_input(x0, t, noise, alpha_bar):
    result = RIGHT(x0, t, noise, alpha_bar)
    noise.resize_(0)
    return result


@pytest.mark.parametrize(("fn", "name"), [(scaled, "x0"), (emptied_input, "noise")])
def test_changed_input_is_named(fn, name):
    verdict = in_two_seconds(fn)
    assert verdict.status == "wrong"
    assert f"changes its input `{name}` in place" in verdict.message


def test_memory_from_call_to_call_is_found():
    kept = []

    def fn(*args):
        kept.append(RIGHT(*args))
        return kept[-1] if len(kept) < 12 else kept[0]

    assert in_two_seconds(fn).status == "wrong"


def test_only_other_input_fails():
    def flat(x0, t, noise, alpha_bar):
        a = alpha_bar[t][:, None]
        return (a.sqrt() * x0.view(len(x0), -1) + (1 - a).sqrt() * noise.view(len(x0), -1)).view(x0.shape)

    assert "not contiguous" in in_two_seconds(flat).message


def test_wider_values_are_right_but_not_used(capsys):
    def fn(x0, t, noise, alpha_bar):
        return RIGHT(x0.double(), t, noise, alpha_bar)

    verdict = check.q_sample(fn)
    assert verdict.status == "right"
    assert "float64" in verdict.message
    assert check.use(fn, RIGHT) is RIGHT
    assert "another number type" in capsys.readouterr().out


def test_a_repaired_function_is_judged_anew():
    helpers = [lambda x0, t, noise, alpha_bar: x0]

    def q_sample(x0, t, noise, alpha_bar):
        return helpers[0](x0, t, noise, alpha_bar)

    assert check.q_sample(q_sample).status == "wrong"
    helpers[0] = RIGHT
    assert check.q_sample(q_sample).status == "right"
    assert check.use(q_sample) is q_sample


def test_a_right_answer_is_there_in_a_later_notebook(capsys):
    def q_sample(x0, t, noise, alpha_bar):
        a = alpha_bar[t][:, None, None, None]
        return torch.from_numpy(np.sqrt(a.numpy())) * x0 + (1 - a) ** 0.5 * noise

    assert check.mine("q_sample") is RIGHT and "course's own" in capsys.readouterr().out
    assert check.q_sample(q_sample).status == "right"
    check.q_sample(lambda x0, t, noise, alpha_bar: x0)  # a later mistake takes nothing away
    kept = check.mine("q_sample")
    assert kept is not RIGHT and "of notebook 01: your own" in capsys.readouterr().out
    assert checks.judge(EXERCISES["q_sample"], kept).status == "right"
    check.q_sample(RIGHT)
    assert "alpha_bar[t]" in store.recall("answer", "q_sample")
    check.forget()
    assert check.mine("q_sample") is RIGHT


@pytest.mark.parametrize("source", ["def q_sample(", "q_sample = 3", "1 / 0", "while True: pass", "raise SystemExit",
                                    "def q_sample(x0, t, noise, alpha_bar):\n    return helper(x0)", 7])
def test_what_no_longer_works_is_left_alone(source, capsys):
    store.record("answer", "q_sample", source)
    assert check.mine("q_sample") is RIGHT and "course's own" in capsys.readouterr().out
    with pytest.raises(ValueError, match="There is no exercise"):
        check.mine("nothing")


def test_use_says_which(capsys):
    assert check.use(RIGHT) is RIGHT
    assert check.use(None, RIGHT) is RIGHT
    assert check.use(untouched, RIGHT) is RIGHT
    assert check.use(lambda x0, t, noise, alpha_bar: x0, RIGHT) is RIGHT
    def renamed(x, s, e, table):
        return RIGHT(x, s, e, table)

    assert check.use(renamed, RIGHT) is renamed
    assert capsys.readouterr().out.splitlines() == [
        "Your own q_sample is used from here on.",
        "Your q_sample is not attempted: the course's own is used from here on.",
        "Your q_sample is not attempted: the course's own is used from here on.",
        "Your q_sample is wrong: the course's own is used from here on.",
        "Your own q_sample is used from here on.",
    ]
    with pytest.raises(ValueError, match="There are: .*q_sample"):
        check.use(None)
    assert check.use(None, "q_sample") is RIGHT and check.use(renamed, "q_sample") is renamed
    assert "not attempted" in capsys.readouterr().out
    with pytest.raises(ValueError, match="There are: .*q_sample"):
        check.use(RIGHT, "q_sampel")


def test_names():
    assert {*EXERCISES, "use", "mine", "progress", "forget"} == set(dir(check))
    assert check.q_sample.__name__ == "q_sample"
    assert "alpha_bar: (T,)" in check.q_sample.__doc__
    with pytest.raises(AttributeError, match="no exercise 'q_sampel'. There are: .*q_sample"):
        _ = check.q_sampel
    assert not hasattr(check, "_repr_html_")
    assert "q_sample" in repr(check)


def test_progress_keeps_the_best_and_is_erased():
    def status():
        return {name: status for _, name, status in check.progress().rows}

    assert set(status().values()) == {"not attempted"}
    check.q_sample(lambda *args: 0)
    assert status()["q_sample"] == "wrong"
    check.q_sample(RIGHT)
    check.q_sample(untouched)
    assert status()["q_sample"] == "right"
    assert f"1 of {len(EXERCISES)} exercises are right." in repr(check.progress())
    assert "<table" in check.progress()._repr_html_() and "✓ right" in check.progress()._repr_html_()
    store.record("exercise", "q_sample", {"odd": 1})
    assert status()["q_sample"] == "not attempted"
    check.q_sample(RIGHT)
    store.record("prediction", "p", 1)
    check.forget()
    assert set(status().values()) == {"not attempted"}
    assert store.recall("prediction", "p") == 1


def test_verdict_shows_a_word_and_a_sign_and_escapes():
    verdict = Verdict("wrong", "a < b & c")
    assert repr(verdict) == "✗ wrong: a < b & c"
    page = verdict._repr_html_()
    assert "✗ Wrong" in page and "a &lt; b &amp; c" in page
    assert "color:#" in page and "background:#" in page


@pytest.mark.parametrize(("ink", "paper"), checks.COLOURS.values())
def test_colours_can_be_read(ink, paper):
    """Contrast of at least 7 to 1 (WCAG 2.2, level AAA), on a background of their own."""
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert (luminance(paper) + 0.05) / (luminance(ink) + 0.05) >= 7


# What later notebooks need: a function that is meant to change an argument, one that draws, one with several results.


def ema_update(average, value, decay):
    """average <- decay * average + (1 - decay) * value, in place."""
    for name, old in average.items():
        old.lerp_(value[name], 1 - decay)


def drop(y, p):
    """Each label replaced by -1 with probability p; returns labels and mask."""
    mask = torch.rand(y.shape) < p
    return torch.where(mask, -1, y), mask


def keeps_some(fn):
    torch.manual_seed(0)
    share = fn(torch.zeros(1000, dtype=torch.long), 0.3)[1].float().mean()
    return None if 0.2 < share < 0.4 else "It drops another share of the labels than p."


def weights(seed):
    return {"w": randn(seed, 3, 2), "b": randn(seed + 1, 2)}


EMA = Exercise(
    ema_update,
    ("One.", "Two."),
    lambda seed: [Case("two weights", (weights(seed), weights(seed + 2), 0.7))],
    {"The decay is on the wrong side.": lambda average, value, decay: [average[k].lerp_(value[k], decay) for k in average] and None},
    changes=("average",),
    variants=(),
)
DROP = Exercise(
    drop,
    ("One.", "Two."),
    lambda seed: [Case("ten labels", (torch.arange(10), 0.5))],
    {"One draw decides for the whole batch.": lambda y, p: (torch.where(torch.rand(1) < p, -1, y), (torch.rand(1) < p).expand(y.shape))},
    probes=(keeps_some,),
    draws=True,
)


def test_argument_that_is_meant_to_change():
    def other(average, value, decay):
        for name in average:
            average[name].mul_(decay).add_(value[name] * (1 - decay))

    def alias(average, value, decay):
        average = {k: decay * average[k] + (1 - decay) * value[k] for k in average}

    def both(average, value, decay):
        ema_update(average, value, decay)
        value["w"].zero_()

    assert checks.judge(EMA, other).status == "right"
    assert checks.judge(EMA, alias).status == "wrong"
    assert checks.judge(EMA, next(iter(EMA.mistakes.values()))).message == "The decay is on the wrong side."
    assert "`value`" in checks.judge(EMA, both).message


def test_what_is_returned_beside_a_change_does_not_count_where_the_reference_returns_nothing():
    def returns(average, value, decay):
        ema_update(average, value, decay)
        return average

    def emptied(average, value, decay):
        """A docstring."""

    assert checks.judge(EMA, returns).status == "right"
    assert checks.judge(EMA, emptied).status == "not attempted"
    assert checks.judge(EMA, lambda average, value, decay: average["w"].mul_(decay)).message.endswith("in `average`, as it is afterwards.")


def learn(model, optimizer, x, generator):
    """One step of descent on |model(x + noise)|^2; the noise, then a factor, from generator."""
    noise = torch.randn(x.shape, generator=generator)
    loss = torch.rand((), generator=generator) * model(x + noise).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def factor_first(model, optimizer, x, generator):
    factor = torch.rand((), generator=generator)
    optimizer.zero_grad()
    loss = factor * model(x + torch.randn(x.shape, generator=generator)).square().mean()
    loss.backward()
    optimizer.step()
    return loss


def never_clears(model, optimizer, x, generator):
    loss = torch.rand((), generator=generator) * model(x + torch.randn(x.shape, generator=generator)).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def line(seed):
    model = torch.nn.Linear(2, 1, device="meta").to_empty(device="cpu")  # its own start would draw random numbers
    model.load_state_dict({"weight": randn(seed, 1, 2), "bias": randn(seed + 1, 1)})
    return model


def line_cases(seed):
    model = line(seed)
    generator = torch.Generator().manual_seed(seed)
    return [Case("four points", (model, torch.optim.SGD(model.parameters(), lr=0.2), randn(seed + 2, 4, 2), generator))]


LEARN = Exercise(learn, ("One.", "Two."), line_cases, {"Gradients add up.": never_clears}, changes=("model",), variants=(),
                 calls=2, also=(factor_first,))


def test_function_of_a_module_an_optimizer_and_a_generator_called_twice():
    """The module is compared by its weights after both calls: a gradient that is left over shows only in the second."""
    def no_step(model, optimizer, x, generator):
        loss = torch.rand((), generator=generator) * model(x + torch.randn(x.shape, generator=generator)).square().mean()
        return loss.item()

    def other_rate(model, optimizer, x, generator):
        optimizer.param_groups[0]["lr"] = 0.1
        return learn(model, optimizer, x, generator)

    def seeds_by_chance(model, optimizer, x, generator):
        return learn(model, optimizer, x, torch.Generator().manual_seed(int(torch.randint(9, ()))))

    def empties(model, optimizer, x, generator):
        """A docstring."""

    assert checks.judge(LEARN, learn).status == "right"
    assert checks.judge(LEARN, factor_first).status == "right"
    assert checks.judge(LEARN, never_clears).message == "Gradients add up."
    assert checks.judge(LEARN, no_step).status == "wrong"
    assert checks.judge(LEARN, other_rate).status == "wrong"
    assert "returns None" in checks.judge(LEARN, lambda *args: learn(*args) and None).message
    assert checks.judge(LEARN, empties).status == "not attempted"
    assert "of its own" in checks.judge(LEARN, seeds_by_chance).message


def test_weights_alone_can_be_wrong():
    def reversed_step(model, optimizer, x, generator):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        first = learn(model, optimizer, x, generator)
        model.load_state_dict(before)
        return first

    once = Exercise(learn, ("One.", "Two."), line_cases, {}, changes=("model",), variants=())
    assert "in `model`, as it is afterwards" in checks.judge(once, reversed_step).message


def through(layer, x):
    """The layer's answer, doubled."""
    return 2 * layer(x)


THROUGH = Exercise(through, ("One.", "Two."), lambda seed: [Case("four points", (line(seed), randn(seed + 2, 4, 2)))], {})


def test_function_of_a_module_that_is_only_called():
    """It must come out as it went in, and be as exact as the input is."""
    def wipes(layer, x):
        y = through(layer, x)
        with torch.no_grad():
            layer.bias.zero_()
        return y

    def float_alone(layer, x):
        return 2 * (x @ layer.weight.float().T + layer.bias.float())

    assert checks.judge(THROUGH, through).status == "right"
    assert "changes its input `layer` in place" in checks.judge(THROUGH, wipes).message
    assert "float64 input" in checks.judge(THROUGH, float_alone).message
    assert checks.judge(THROUGH, lambda layer, x: x.sum(1, keepdim=True)).message == "`layer` has no effect on the result."


def is_positive(x):
    """Whether all of x is above 0."""
    return bool((x > 0).all())


POSITIVE = Exercise(is_positive, ("One.", "Two."), lambda seed: [
    Case("numbers of both signs", (randn(seed, 9),)), Case("positive numbers", (1 + randn(seed, 9).abs(),))], {})


@pytest.mark.parametrize(("fn", "message"), [
    (lambda x: (x > 0).all(), None),
    (lambda x: np.all(x.numpy() > 0), None),
    (lambda x: (x > 0).any().item(), "On numbers of both signs: it says True where False is right."),
    (lambda x: np.bool_(False), "On positive numbers: it says False where True is right."),
    (lambda x: x > 0, "It returns shape (9,) where () is expected."),
])
def test_yes_or_no(fn, message):
    verdict = checks.judge(POSITIVE, fn)
    assert (verdict.status, message) == ("right", None) or verdict.message == message


def test_function_that_draws():
    assert checks.judge(DROP, drop).status == "right"
    assert checks.judge(DROP, next(iter(DROP.mistakes.values()))).message == "One draw decides for the whole batch."
    wrong = checks.judge(DROP, lambda y, p: (y, torch.zeros_like(y, dtype=torch.bool)))
    assert wrong.status == "wrong"


def test_probe_speaks_last():
    always = Exercise(RIGHT, ("One.", "Two."), EXERCISES["q_sample"].cases, {}, probes=(lambda fn: "The probe's sentence.",))
    assert checks.judge(always, RIGHT).message == "The probe's sentence."


@pytest.mark.parametrize("root", [torch.sqrt, lambda a: a.sqrt()])
def test_a_plain_number_where_a_tensor_is_needed_is_said(root):
    def posterior_weights(xt, points, alpha_bar_t):
        return torch.softmax(-(xt[:, None] - root(alpha_bar_t) * points).square().sum(2) / (2 * (1 - alpha_bar_t)), 1)

    assert "a plain number came in, not a tensor" in check.posterior_weights(posterior_weights).message


def test_two_roots_of_negative_numbers_are_the_same_slip():
    negative = torch.tensor([-1.0, -4.0])
    complex64, complex128 = negative.to(torch.complex64).sqrt(), negative.to(torch.complex128).sqrt()
    assert different(complex64, complex128, 1e-5, 1e-6, any_type=True) is None
    assert different(2 * complex64, complex128, 1e-5, 1e-6, any_type=True) == "off, and complex."
    assert different(complex64, negative, 1e-5, 1e-6, any_type=True) == "it returns torch.complex64 where torch.float32 is expected."
    assert different(complex64, complex128, 1e-5, 1e-6) == "it returns torch.complex64 where torch.complex128 is expected."

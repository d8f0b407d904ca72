"""Wrong lines, one at a time: which of them does no test see?

    python tests/mutation.py trace                   # which test calls which function (minutes)
    python tests/mutation.py run --number 150        # a seed is drawn and printed
    python tests/mutation.py run --number 150 --seed 7 --workers 2
    python tests/mutation.py report

A mutant is one changed node of a module of the package: a comparison or sum turned round, a number
one higher, neighbours swapped, a keyword or statement left out, `unlearn` for `retain`. Mutants are
drawn at random, at least three a module, most where formulas meet settings, data and tables
(`JOINTS`); those in `LISTED` survived the tests once and are tried in every run. A mutant is caught
if a test of `tests/unit` fails or hangs with it, tried in the order: the module's own tests, its
room's, others, the fast ones first, up to about `--budget` seconds of tests. Only tests that call
the mutated function are run, as `trace` saw it, and what was added to the module's own tests since.

Work is done in copies of the repository, by forks of a process that has imported torch and so on.
Results are appended to `--results`; a run that was stopped goes on with the rest of its mutants.
What survives is either equivalent, and then explained in `EQUIVALENT`, or lacks a test.

Run by hand with the project's Python; pytest does not collect this file.
"""

import argparse
import ast
import contextlib
import hashlib
import importlib
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = Path("workflow/geffect")
WORK = Path(tempfile.gettempdir()) / "geffect-mutation"
MAP = "tests.json"

JOINTS = (
    "cells",
    "training",
    "effects/measurement.py",
    "effects/measure.py",
    "losses",
    *(f"data/{name}.py" for name in ("sources", "encoding", "batches", "draws", "rows")),
    *(f"evaluation/{name}.py" for name in ("passes", "samples", "summary", "folder", "command")),
    "report/tables",
    "config/config.py",
    "jobs",
)
"""Rooms and modules whose mutants are drawn three times as often."""

LEFT_OUT = ("data/fictional_words.py",)

LISTED = Path(__file__).with_name("mutants.txt")
"""Wrong lines that no test saw once: a module, what stands there (-), what would be wrong (+)."""

_ORDER = "the order is looked at by nobody"
EQUIVALENT: list[tuple[str, str, str]] = [
    (
        "effects/gradients.py",
        "size = 2**16 if",
        "the size of the pieces on a GPU: a matter of speed",
    ),
    ("effects/gradients.py", "Components = Mapping[", "a type"),
    ("effects/instances.py", "inputs = tuple((argument)", "what is detached has no gradient here"),
    (
        "effects/measure.py",
        "data_batches(RISK, forget, micro_batch_size, RETAIN)",
        "a message that an earlier check forestalls",
    ),
    ("errors.py", "get_close_matches(str(name), names, n=(2))", "only the first is taken"),
    ("data/draws.py", "reshape(-(2), batch)", "numpy takes any negative number for -1"),
    ("data/rows.py", ".endswith((('.jsonl'", _ORDER),
    ("data/tofu.py", "return (['full'", _ORDER),
    ("objectives/rmu.py", "NEEDS = ([", _ORDER),
    ("objectives/adaptive_rmu.py", "NEEDS = ([", _ORDER),
    ("objectives/dpo.py", "NEEDS = ([", _ORDER),
    ("regularizers/rr.py", "NEEDS = ([", _ORDER),
    ("losses/view.py", "logits.itemsize > 4", "float() of float32 is the same"),
    (
        "training/resume.py",
        "tables: dict[str, pd.DataFrame] = (field())",
        "the default is never used",
    ),
    ("training/fit.py", "generator('order', seed)", "another generator, as good"),
    ("evaluation/samples.py", "for form in (('arithmetic'", _ORDER),
    ("evaluation/passes.py", "nll = (-(logp).sum", "within the rounding of float32"),
    ("evaluation/metrics/truth_ratio.py", "_LOG_LIMIT = (701.0)", "as far from overflow"),
    (
        "evaluation/metrics/forget_quality.py",
        "ks_2samp(retain, unlearned)",
        "the test is symmetric",
    ),
    (
        "evaluation/metrics/exact_memorization.py",
        "np.asarray(target), np.asarray(predicted)",
        "their equality is symmetric",
    ),
    ("report/curves.py", "['mean', 'max', 'min']", "columns are taken by name"),
    ("models/hub.py", "patterns = ([", _ORDER),
    (
        "models/hub.py",
        "config = (AutoConfig.from_pretrained(partial))",
        "a local folder is never fetched",
    ),
    ("models/scratch.py", "show_progress=(True)", "for readers"),
    (
        "declarations.py",
        "tree = (ast.parse(",
        "the name of the file in a traceback that is caught",
    ),
    ("jobs/code_hash.py", "_DOCUMENTED = (", _ORDER),
    ("jobs/code_hash.py", "_LEVELS = (", _ORDER),
    ("jobs/provenance.py", "_PACKAGES = (", _ORDER),
    ("jobs/records.py", "time.monotonic() >= patience", "a clock that stands still"),
    ("jobs/status.py", "STATES = (", "the order of counts in a line for readers"),
    ("jobs/status.py", "self._error, self._alive = ((set(), None))", "set again before it is read"),
    ("jobs/slurm.py", "timeout=(61)", "a second more of patience"),
]
"""(module, part of the changed line, why that changes nothing that matters)."""

SIBLINGS = [
    ("unlearn", "retain"),
    ("forget", "retain"),
    ("UNLEARN", "RETAIN"),
    ("objective", "regularizer"),
    ("OBJECTIVE", "REGULARIZER"),
    ("e_unlearn", "e_retain"),
    ("forget_rows", "retain_rows"),
    ("forget", "retain_rows"),
    ("logp", "logp_ref"),
    ("hidden", "hidden_ref"),
    ("logits", "logits_ref"),
    ("values", "weights"),
    ("mean", "variance"),
    ("low", "high"),
    ("min", "max"),
    ("any", "all"),
    ("train", "eval"),
    ("batch_size", "micro_batch_size"),
    ("instances", "tokens"),
    ("question", "answer"),
    ("prompt", "labels"),
    ("step", "steps"),
    ("geometric", "arithmetic"),
    ("started", "last"),
    ("append", "extend"),
    ("total", "done"),
]
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# For readers, or a second lock on a door: leaving them out changes nothing that can be seen.
COSMETIC_KEYWORDS = {"encoding", "strict", "check", "help", "metavar", "prog", "description"}
SYMMETRIC = ("max", "min", "math.gcd")
CONVERSIONS = (
    "str",
    "float",
    "int",
    "bool",
    "list",
    "tuple",
    "set",
    "dict",
    "iter",
    "range",
    "len",
    "Path",
)
METHODS = ("detach", "sum", "mean", "float", "double", "where", "eval")
TALKING = ("log.", "logging.", "progress", "Progress", "print", "warnings.")


@dataclass(frozen=True)
class Mutant:
    """A module with one changed node: `old` at `start` becomes `new`."""

    module: str
    function: str
    operator: str
    line: int
    start: int
    old: str
    new: str

    @property
    def room(self):
        return self.module.split("/")[0] if "/" in self.module else "root"

    def apply(self, source):
        raw = source.encode()
        assert raw[self.start : self.start + len(self.old.encode())] == self.old.encode()
        return (
            raw[: self.start] + self.new.encode() + raw[self.start + len(self.old.encode()) :]
        ).decode()

    def lines(self, source):
        """The changed line before and after."""
        before = source.splitlines()
        after = self.apply(source).splitlines()
        return before[self.line - 1].strip(), " ".join(
            line.strip()
            for line in after[self.line - 1 : self.line + len(after) - len(before)] or [""]
        ) or after[min(self.line, len(after)) - 1].strip()

    def is_code(self, source):
        """Whether the mutant can be parsed and differs from the module."""
        try:
            return ast.dump(ast.parse(self.apply(source))) != ast.dump(ast.parse(source))
        except SyntaxError:
            return False

    def key(self, source):
        content = [self.module, self.function, self.operator, *self.lines(source), self.new]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


class Drawer(ast.NodeVisitor):
    """Every mutant of a module that is not cosmetic."""

    def __init__(self, module, source):
        self.module, self.source = module, source
        self.raw = source.encode()
        self.starts = [0]
        for line in self.raw.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.scope, self.found = [], []
        self.visit(ast.parse(source))

    def change(self, node, operator, new):
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        text = new if isinstance(new, str) else f"({ast.unparse(new)})"
        mutant = Mutant(
            self.module,
            ".".join(self.scope),
            operator,
            node.lineno,
            start,
            self.raw[start:end].decode(),
            text,
        )
        self.found.append(mutant)

    def copy(self, node, **fields):
        same = {name: getattr(node, name) for name in node._fields}
        return type(node)(**(same | fields))

    # What is not mutated

    def visit_JoinedStr(self, node):
        pass

    def visit_Raise(self, node):
        pass

    def visit_Assert(self, node):
        pass

    def visit_Import(self, node):
        pass

    def visit_ImportFrom(self, node):
        pass

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node):
        pass

    def visit_ExceptHandler(self, node):
        self.block(node.body)

    def visit_FunctionDef(self, node):
        self.scope.append(node.name)
        for part in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)
        self.block(node.body)
        self.scope.pop()

    def visit_ClassDef(self, node):
        self.scope.append(node.name)
        self.block(node.body)
        self.scope.pop()

    def visit_Module(self, node):
        self.block(node.body)

    def block(self, statements):
        for statement in statements:
            self.visit(statement)

    def visit_If(self, node):
        if ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            return
        if not any(isinstance(s, ast.Raise) for s in node.body) or len(node.body) > 1:
            self.change(node.test, "negated condition", ast.UnaryOp(ast.Not(), node.test))
        else:
            self.change(node.test, "check never fails", ast.Constant(False))
        self.generic_visit(node)

    def visit_While(self, node):
        self.generic_visit(node)

    # Statements

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func).removeprefix("self.").startswith(TALKING):
                return
            self.change(node, "statement left out", "pass")
        self.visit(node.value)

    def visit_Assign(self, node):
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return
        if not isinstance(node.targets[0], (ast.Name, ast.Tuple)):
            self.change(node, "statement left out", "pass")
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Subscript):
                self.visit(target.slice)

    def visit_AugAssign(self, node):
        self.change(node, "statement left out", "pass")
        self.visit(node.value)

    def visit_Break(self, node):
        self.change(node, "statement left out", "pass")

    visit_Continue = visit_Break

    # Expressions

    def visit_Compare(self, node):
        operator = COMPARISONS[type(node.ops[0])]()
        self.change(node, "comparison", self.copy(node, ops=[operator, *node.ops[1:]]))
        self.visit(node.left)
        for operator, other in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(
                other, (ast.Tuple, ast.List)
            ):
                for element in other.elts:
                    self.visit(element)
            else:
                self.visit(other)

    def visit_BinOp(self, node):
        textual = (ast.JoinedStr, ast.List)
        sides = (node.left, node.right)
        strings = [s for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, str)]
        if strings or any(isinstance(s, textual) for s in sides):
            if not strings and type(node.op) is not ast.BitOr:
                self.change(node, "operand left out", node.left)
        elif type(node.op) in ARITHMETIC:
            swapped = self.copy(node, op=ARITHMETIC[type(node.op)]())
            self.change(node, "arithmetic", swapped)
            if isinstance(node.op, (ast.BitOr, ast.Sub, ast.Mult)):
                self.change(node, "operand left out", node.left)
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if not isinstance(node.operand, ast.Constant):
            self.change(node, "operator left out", node.operand)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.change(node, "and/or", self.copy(node, op=other))
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.change(node, "branches swapped", self.copy(node, body=node.orelse, orelse=node.body))
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.change(node, "constant", ast.Constant(not value))
        elif isinstance(value, (int, float)):
            self.change(node, "constant", ast.Constant(value + 1))
        elif isinstance(value, str):
            self.sibling(node, value, repr)

    def sibling(self, node, name, write=str):
        for swapped in self.siblings(name):
            self.change(node, "sibling", write(swapped))

    def siblings(self, name):
        """Names beside which a name stands in this module: others are seen at once."""
        pairs = [*SIBLINGS, *((other, one) for one, other in SIBLINGS)]
        return [b for a, b in pairs if a == name and re.search(rf"\b{b}\b", self.source)]

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self.sibling(node, node.id)

    def visit_Attribute(self, node):
        for swapped in self.siblings(node.attr):
            self.change(node, "sibling", self.copy(node, attr=swapped))
        self.visit(node.value)

    def visit_Dict(self, node):
        if all(isinstance(key, ast.Constant) for key in node.keys):
            for i in range(len(node.keys) - 1):
                values = list(node.values)
                if type(values[i]) is not type(values[i + 1]):
                    continue
                values[i], values[i + 1] = values[i + 1], values[i]
                self.change(node, "values swapped", self.copy(node, values=values))
        for part in (*node.keys, *node.values):
            if part is not None:
                self.visit(part)

    def visit_Tuple(self, node):
        if isinstance(node.ctx, ast.Load):
            for i in range(len(node.elts) - 1):
                elements = list(node.elts)
                elements[i], elements[i + 1] = elements[i + 1], elements[i]
                self.change(node, "elements swapped", self.copy(node, elts=elements))
        for element in node.elts:
            self.visit(element)

    visit_List = visit_Tuple

    def visit_Call(self, node):
        name = ast.unparse(node.func)
        if name.removeprefix("self.").startswith((*TALKING, "cast", "TypeVar")):
            if name == "cast":
                self.visit(node.args[1])
            return
        plain = not any(isinstance(a, ast.Starred) for a in node.args)
        if name not in (*SYMMETRIC, "isinstance", "getattr", "hasattr") and plain:
            for i in range(len(node.args) - 1):
                arguments = list(node.args)
                arguments[i], arguments[i + 1] = arguments[i + 1], arguments[i]
                self.change(node, "arguments swapped", self.copy(node, args=arguments))
        keywords = [k for k in node.keywords if k.arg not in COSMETIC_KEYWORDS]
        for i, keyword in enumerate(keywords):
            if keyword.arg is not None:
                left = [k for k in node.keywords if k is not keyword]
                self.change(node, "keyword left out", self.copy(node, keywords=left))
                if i + 1 < len(keywords) and keywords[i + 1].arg is not None:
                    after = keywords[i + 1]
                    values = {id(keyword): after.value, id(after): keyword.value}
                    swapped = [
                        ast.keyword(k.arg, values.get(id(k), k.value)) for k in node.keywords
                    ]
                    self.change(node, "keywords swapped", self.copy(node, keywords=swapped))
        single = len(node.args) == 1 and plain and not node.keywords
        if single and isinstance(node.func, ast.Name) and name not in CONVERSIONS:
            self.change(node, "call left out", node.args[0])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            self.change(node, "call left out", node.func.value)
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)
        for keyword in keywords:
            self.visit(keyword.value)


def mutants_of(module, root=REPOSITORY):
    """Every mutant of a module (path below the package)."""
    return Drawer(module, (root / PACKAGE / module).read_text(encoding="utf-8")).found


def draw(number, seed, root=REPOSITORY):
    """`number` mutants over all modules, at least three in each, most in the joints."""
    rng = random.Random(seed)
    modules = sorted(
        p.relative_to(root / PACKAGE).as_posix() for p in (root / PACKAGE).rglob("*.py")
    )
    pools = {m: mutants_of(m, root) for m in modules if m not in LEFT_OUT}
    pools = {m: pool for m, pool in pools.items() if pool}
    for pool in pools.values():
        rng.shuffle(pool)
        seen, first, later = set(), [], []
        for mutant in pool:  # one mutant a line before a second one
            (later if mutant.line in seen else first).append(mutant)
            seen.add(mutant.line)
        pool[:] = first + later
    weight = {m: len(pool) * (3 if m.startswith(JOINTS) else 1) for m, pool in pools.items()}
    wanted = {m: min(3, len(pool)) for m, pool in pools.items()}
    while sum(wanted.values()) < number:
        free = [m for m in pools if wanted[m] < len(pools[m])]
        if not free:
            break
        wanted[max(free, key=lambda m: weight[m] / (wanted[m] + 1))] += 1
    drawn = []
    for module, pool in pools.items():
        source = (root / PACKAGE / module).read_text(encoding="utf-8")
        valid = (mutant for mutant in pool if mutant.is_code(source))
        drawn += itertools.islice(valid, wanted[module])
    rng.shuffle(drawn)
    return drawn


def listed(root=REPOSITORY):
    """The mutants of `LISTED`."""
    found = []
    for block in LISTED.read_text(encoding="utf-8").strip().split("\n\n"):
        module, *changes = block.split("\n")
        old, new = ("\n".join(c[2:] for c in changes if c[0] == sign) for sign in "-+")
        source = (root / PACKAGE / module).read_text(encoding="utf-8")
        assert source.count(old) == 1, f"{module}: {old!r} stands there {source.count(old)} times"
        start = source.index(old)
        line = source[:start].count("\n") + 1
        scope = _scope(ast.parse(source), line)
        offset = len(source[:start].encode())
        found.append(Mutant(module, scope, "listed", line, offset, old, new))
    return found


def _scope(tree, line):
    names = []
    node = tree
    while True:
        inner = [
            child
            for child in ast.walk(node)
            if child is not node
            and isinstance(child, (ast.FunctionDef, ast.ClassDef))
            and child.lineno <= line <= child.end_lineno
        ]
        if not inner:
            return ".".join(names)
        node = min(inner, key=lambda child: child.lineno)
        names.append(node.name)


# Tests


def copy_repository(target):
    """All files that git knows or does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout
    shutil.rmtree(target, ignore_errors=True)
    for name in listing.decode().split("\0"):
        if name and (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


class Tracer:
    """Which functions of the package each test calls, and how long it takes."""

    def __init__(self, root):
        self.prefix = f"{root / PACKAGE}/"
        self.tests, self.calls = {}, set()

    def _trace(self, frame, event, _):
        code = frame.f_code
        if code.co_filename.startswith(self.prefix):
            self.calls.add(code)

    def pytest_runtest_logstart(self, nodeid):
        self.calls, self.started = set(), time.monotonic()
        self.tests[nodeid] = {"passed": True}
        sys.settrace(self._trace)

    def pytest_runtest_logreport(self, report):
        if report.outcome != "passed":
            self.tests[report.nodeid]["passed"] = False

    def pytest_runtest_logfinish(self, nodeid):
        sys.settrace(None)
        names = {
            f"{code.co_filename.removeprefix(self.prefix)}:{code.co_qualname.split('.<')[0]}"
            for code in self.calls
        }
        self.tests[nodeid]["seconds"] = round(time.monotonic() - self.started, 3)
        self.tests[nodeid]["calls"] = sorted(names)


class Selected:
    """Runs these tests only, in this order, and notes the first that fails."""

    def __init__(self, order, known, own, note):
        self.order, self.note = {name: i for i, name in enumerate(order)}, note
        self.known, self.own = known, own

    def _place(self, item):
        if item.nodeid not in self.known and item.nodeid.startswith(f"{self.own}::"):
            return -1  # written since the last trace
        return self.order.get(item.nodeid)

    def pytest_collection_modifyitems(self, items):
        placed = [(self._place(item), i, item) for i, item in enumerate(items)]
        items[:] = [item for _, _, item in sorted(p for p in placed if p[0] is not None)]

    def pytest_runtest_logreport(self, report):
        if report.outcome == "failed":
            self.note.write_text(report.nodeid)

    def pytest_collectreport(self, report):
        if report.outcome == "failed":
            self.note.write_text(f"{report.nodeid} (collected)")


OPTIONS = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore"]


def _pytest(root, arguments, plugin, log):
    """In a fork: pytest in a copy of the repository, whose package it imports."""
    os.setsid()
    with open(log, "wb") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    os.chdir(root)
    sys.path[:0] = [str(root / "workflow")]
    os.environ["PYTHONPATH"] = str(root / "workflow")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["TMPDIR"] = tempfile.tempdir = str(root.with_name(f"{root.name}.tmp"))
    sys.dont_write_bytecode = True
    for name in [n for n in sys.modules if n.split(".")[0] == "geffect"]:
        del sys.modules[name]
    import pytest

    return pytest.main([*OPTIONS, "--rootdir", str(root), *arguments], plugins=[plugin])


def _fork(root, timeout, arguments, plugin, finish=None):
    """Exit status of `_pytest` in a fork, None where it had to be killed."""
    scratch = root.with_name(f"{root.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = int(_pytest(root, arguments, plugin, root.with_name(f"{root.name}.log")))
            if finish is not None:
                finish(plugin)
            sys.stdout.flush()
        finally:
            os._exit(status)
    end = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(0.02)
    # Also what a test left running.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not done:
        os.waitpid(child, 0)
        return None
    return os.waitstatus_to_exitcode(status)


def trace(given):
    """Brings the map of tests up to date."""
    path = given.work / MAP
    known = json.loads(path.read_text()) if path.is_file() else {"files": {}, "warm": []}
    root = given.work / "traced"
    copy_repository(root)
    files = {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted((root / "tests/unit").rglob("test_*.py"))
    }
    known["files"] = {name: f for name, f in known["files"].items() if name in files}
    for name, digest in files.items():
        if known["files"].get(name, {}).get("sha256") == digest and not given.again:
            continue
        if given.only and not any(name.startswith(f"tests/unit/{room}") for room in given.only):
            continue
        note = given.work / "traced.json"
        note.unlink(missing_ok=True)

        def finish(plugin, note=note):
            places = ("site-packages", f"lib/python3.{sys.version_info.minor}")
            warm = [
                n
                for n, m in sys.modules.items()
                if any(p in (getattr(m, "__file__", None) or "") for p in places)
            ]
            note.write_text(json.dumps({"tests": plugin.tests, "warm": warm}))

        _warm(known["warm"])
        started = time.monotonic()
        _fork(root, 1200, [name], Tracer(root), finish)
        if not note.is_file():
            print(f"{name}: could not be run, see {root}.log")
            continue
        found = json.loads(note.read_text())
        known["files"][name] = {"sha256": digest, "tests": found["tests"]}
        known["warm"] += [n for n in found["warm"] if n not in set(known["warm"])]
        path.write_text(json.dumps(known))
        red = [t for t, about in found["tests"].items() if not about["passed"]]
        print(
            f"{name}: {len(found['tests'])} tests, {time.monotonic() - started:.0f} s"
            + (f", NOT PASSED: {', '.join(red)}" if red else ""),
            flush=True,
        )


def _warm(names):
    import torch

    torch.set_num_threads(1)
    sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests/slurm")]
    skipped = ("_pytest", "pytest", "xdist", "geffect", "__", "conftest", "antigravity", "this")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in names:
            if name not in sys.modules and not name.startswith(skipped):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
    import _pytest.config

    _pytest.config.get_config()
    del sys.path[:2]


def own_tests(module):
    """The mirror of a module in the tests."""
    if module.startswith(("objectives/", "regularizers/")):
        return "tests/unit/losses/test_registry.py"
    room, _, name = module.removesuffix(".py").rpartition("/")
    return f"tests/unit/{room + '/' if room else ''}test_{name}.py"


def tests_for(mutant, known, importers, budget):
    """The tests that may see a mutant, the nearest and fastest first, within the budget."""
    own = own_tests(mutant.module)
    room = mutant.module.rpartition("/")[0]
    beside = f"tests/unit/{room}/"
    function = f"{mutant.module}:{mutant.function}"
    parents = {function, function.rpartition(".")[0]} - {f"{mutant.module}"}
    ranked = []
    for path, about in known["files"].items():
        for test, facts in about["tests"].items():
            if not facts["passed"]:
                continue
            calls = facts["calls"]
            if any(c in parents or c.startswith(function + ".") for c in calls):
                near = 0
            elif any(c.startswith(f"{mutant.module}:") for c in calls):
                near = 1
            elif path == own:
                near = 2
            elif not mutant.function and any(c.split(":")[0] in importers for c in calls):
                near = 3
            else:
                continue
            place = 0 if path == own else 1 if room and path.startswith(beside) else 2
            ranked.append((near, place, facts["seconds"], test))
    ranked.sort()
    chosen, spent, beyond = [], 0.0, 0.0
    for near, place, seconds, test in ranked:
        own_limit = 2 * budget if not near and not place else 0
        if max(own_limit - spent, budget - beyond) < seconds:
            continue
        beyond += seconds if not own_limit else 0
        chosen.append(test)
        spent += seconds
    return chosen, spent


def importers_of(module, root=REPOSITORY):
    """The modules that import a module by name."""
    dotted = f"geffect.{module.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}"
    parent, _, name = dotted.rpartition(".")
    found = set()
    for path in (root / PACKAGE).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (
                node.module == dotted
                or (node.module == parent and any(a.name == name for a in node.names))
            ):
                found.add(path.relative_to(root / PACKAGE).as_posix())
    return found


def try_out(mutant, root, known, budget):
    """One line of the results."""
    path = root / PACKAGE / mutant.module
    source = path.read_text(encoding="utf-8")
    before, after = mutant.lines(source)
    tests, spent = tests_for(mutant, known, importers_of(mutant.module, root), budget)
    result = {
        "id": mutant.key(source),
        "room": mutant.room,
        "mutant": f"{mutant.module}:{mutant.line} {mutant.function or '<module>'}",
        "operator": mutant.operator,
        "before": before,
        "after": after,
        "tests": len(tests),
    }
    note = root.with_name(f"{root.name}.note")
    note.unlink(missing_ok=True)
    started = time.monotonic()
    path.write_text(mutant.apply(source), encoding="utf-8")
    try:
        own = own_tests(mutant.module)
        files = dict.fromkeys(test.split("::")[0] for test in tests)
        if (root / own).is_file():
            files = {own: None} | files
        names = {test for about in known["files"].values() for test in about["tests"]}
        plugin = Selected(tests, names, own, note)
        status = _fork(root, 4 * spent + 120, ["-x", *files], plugin) if files else 0
    finally:
        path.write_text(source, encoding="utf-8")
    status = 0 if status == 5 else status  # pytest: no test was selected
    outcome = "timeout" if status is None else "survived" if status == 0 else "caught"
    result |= {"outcome": outcome, "by": note.read_text() if note.is_file() else str(status)}
    return result | {"seconds": round(time.monotonic() - started, 1)}


def run(given):
    """Draws mutants and tries them."""
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    os.environ["GEFFECT_TEST_SEED"] = str(given.test_seed)
    known = json.loads((given.work / MAP).read_text())
    roots = [given.work / f"copy{k}" for k in range(given.workers)]
    for root in roots:
        copy_repository(root)
    results = given.results or given.work / f"{seed}.jsonl"
    lines = results.read_text().splitlines() if results.is_file() else []
    earlier = {r["id"]: r for r in map(json.loads, lines)}
    if given.retry:
        done = {i for i, r in earlier.items() if r["outcome"] != "survived"}
        left = {i: r["mutant"].partition(":")[0] for i, r in earlier.items() if i not in done}
        pool = [m for module in sorted(set(left.values())) for m in mutants_of(module, roots[0])]
        sources = {m: (roots[0] / PACKAGE / m).read_text(encoding="utf-8") for m in left.values()}
        pool = [m for m in [*listed(roots[0]), *pool] if m.module in sources]
        mutants = [m for m in pool if m.key(sources[m.module]) in left]
    else:
        done = set(earlier)
        mutants = [] if given.no_listed else listed(roots[0])
        mutants += draw(given.number, seed, roots[0]) if given.number else []
    if given.only:
        mutants = [m for m in mutants if m.module.startswith(tuple(given.only))]
    print(f"--seed {seed}: {len(mutants)} mutants; GEFFECT_TEST_SEED={given.test_seed}", flush=True)
    _warm(known["warm"])

    def work(k):
        for mutant in mutants[k :: given.workers]:
            source = (roots[k] / PACKAGE / mutant.module).read_text(encoding="utf-8")
            if mutant.key(source) in done:
                continue
            result = try_out(mutant, roots[k], known, given.budget)
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps(result, ensure_ascii=False) + "\n")
            if result["outcome"] != "caught":
                print(_shown(result), flush=True)

    children = []
    for k in range(1, given.workers):
        child = os.fork()
        if child == 0:
            try:
                work(k)
            finally:
                os._exit(0)
        children.append(child)
    work(0)
    for child in children:
        os.waitpid(child, 0)
    summary(results)


def _shown(result):
    return (
        f"{result['outcome'].upper()} {result['mutant']} ({result['operator']}, "
        f"{result['tests']} tests)\n  - {result['before'][:200]}\n  + {result['after'][:200]}"
    )


def _reason(result):
    """Why a survivor is equivalent, as far as that is known."""
    module = result["mutant"].partition(":")[0]
    reasons = [why for m, part, why in EQUIVALENT if m == module and part in result["after"]]
    return reasons[0] if reasons else ""


def summary(results, shown=False):
    """Figures by room, and survivors."""
    found = {r["id"]: r for r in map(json.loads, results.read_text().splitlines())}
    counts = defaultdict(Counter)
    for result in found.values():
        outcome = result["outcome"]
        if outcome == "survived" and _reason(result):
            outcome = "equivalent"
        for room in (result["room"], "all"):
            counts[room][outcome] += 1
        if shown and result["outcome"] != "caught":
            print(_shown(result), f"\n  {_reason(result)}")
    print("| room | mutants | caught | hung | equivalent | survived |\n|---|---|---|---|---|---|")
    for room in sorted(counts, key=lambda room: (room == "all", room)):
        c = counts[room]
        figures = (c[name] for name in ("caught", "timeout", "equivalent", "survived"))
        print(f"| {room} | {c.total()} |", " | ".join(map(str, figures)), "|")
    c = counts["all"]
    unseen = c["survived"] + c["equivalent"]
    print(f"{100 * (1 - unseen / max(1, c.total())):.1f}% seen by a test", end=", ")
    print(f"{100 * (1 - c['survived'] / max(1, c.total() - c['equivalent'])):.1f}% of what matters")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["trace", "run", "report", "list"])
    parser.add_argument("--number", type=int, default=150, help="mutants besides LISTED")
    parser.add_argument("--seed", type=int, help="of the mutants")
    parser.add_argument("--test-seed", type=int, default=20250, help="GEFFECT_TEST_SEED")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--budget", type=float, default=40, help="seconds of tests a mutant")
    parser.add_argument("--only", nargs="*", help="modules or rooms, by the start of their path")
    parser.add_argument("--no-listed", action="store_true")
    parser.add_argument("--retry", action="store_true", help="try survivors again")
    parser.add_argument("--again", action="store_true", help="trace all tests again")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--results", type=Path, help="default: WORK/SEED.jsonl")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if given.command == "trace":
        os.environ["GEFFECT_TEST_SEED"] = str(given.test_seed)
        trace(given)
    elif given.command == "run":
        run(given)
    elif given.command == "report":
        summary(given.results or given.work / f"{given.seed}.jsonl", shown=True)
    else:
        for mutant in draw(given.number, given.seed):
            source = (REPOSITORY / PACKAGE / mutant.module).read_text(encoding="utf-8")
            before, after = mutant.lines(source)
            print(f"{mutant.module}:{mutant.line} {mutant.operator}\n  - {before}\n  + {after}")


if __name__ == "__main__":
    main()

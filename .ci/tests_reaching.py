"""Print the test files whose imports reach some packages, by the import graph: tests_reaching.py PACKAGE [PACKAGE ...]

Imports inside functions count. `from package import name` reaches what the package's `submod_attrs` say, or the
submodule of that name; a package imported as a whole reaches all that is in it. A test also reaches the fixtures that
it names and the scripts whose names it holds.
"""

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFTESTS = sorted((ROOT / "tests").rglob("conftest.py"))


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def place(name, folder=None):
    """The file of a module of this project, or None: of the package, or beside a test."""
    candidates = [ROOT / f"{name.replace('.', '/')}.py", ROOT / name.replace(".", "/") / "__init__.py"]
    candidates += [folder / f"{name}.py"] if folder else []
    return next((path for path in candidates if path.is_file()), None)


def whole(path):
    """A module, and if it is a package all that is in it."""
    return set(path.parent.rglob("*.py")) if path.name == "__init__.py" else {path}


@cache
def homes(package):
    """Submodule by attribute, as a package's `lazy_loader.attach` says."""
    calls = (node for node in ast.walk(tree(package)) if isinstance(node, ast.keyword) and node.arg == "submod_attrs")
    return {name: module for call in calls for module, names in ast.literal_eval(call.value).items() for name in names}


def imported(node, folder):
    """Files of this project, and names of other packages, that the imports below a node ask for."""
    files, others = set(), set()
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            for alias in found.names:
                path = place(alias.name, folder)
                files |= whole(path) if path else set()
                others |= set() if path else {alias.name.partition(".")[0]}
        elif isinstance(found, ast.ImportFrom):
            path = place(found.module, folder)
            if path is None:
                others.add(found.module.partition(".")[0])
                continue
            for alias in found.names:
                submodule = place(f"{found.module}.{alias.name}")
                home = homes(path).get(alias.name) if path.name == "__init__.py" else None
                files |= whole(submodule) if submodule else {place(f"{found.module}.{home}") if home else path}
    return files, others


def named(test):
    """Nodes of fixtures, and files of scripts, that a test file names."""
    arguments = {node.arg for node in ast.walk(tree(test)) if isinstance(node, ast.arg)}
    texts = {
        node.value for node in ast.walk(tree(test)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    functions = [node for path in CONFTESTS for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    scripts = {*(ROOT / "tools").glob("*.py"), *(ROOT / "tests").rglob("*_reference.py")}
    words = {Path(text).stem for text in texts if text.endswith(".py")} | texts
    return [node for node in functions if node.name in arguments], {path for path in scripts if path.stem in words}


def reaches(test, packages):
    """Whether a test file reaches one of the packages."""
    fixtures, pending = named(test)
    others, seen = set(), set()
    for node in (tree(test), *fixtures):
        files, names = imported(node, test.parent)
        pending, others = pending | files, others | names
    while pending and not others & packages:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            files, names = imported(tree(path), path.parent)
            pending, others = pending | files, others | names
    return bool(others & packages)


if __name__ == "__main__":
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    print(*(test.relative_to(ROOT) for test in tests if reaches(test, set(sys.argv[1:]))), sep="\n")

"""The command line: help, exit status, missing extras, and imports at start-up."""

import argparse
import re
import subprocess
import sys

import pytest

from ssdie.batch.outcome import Outcome
from ssdie.cli import COMMANDS, main, parse
from ssdie.cli.output import Report
from ssdie.cli.training import parse_train_config


@pytest.mark.quick
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_a_help_text(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0 and capsys.readouterr().out
    parser = argparse.ArgumentParser()
    COMMANDS[name].add_options(parser)
    assert all(action.help for action in parser._actions)


@pytest.mark.quick
def test_every_setting_of_training_has_a_help_text(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    lines = capsys.readouterr().out.splitlines()
    options = [k for k, line in enumerate(lines) if re.match(r"[│ ]+--[a-z]", line)]
    assert len(options) > 30
    for k in options:
        same_line = lines[k].strip("│ ").split("  ", 1)[1:]
        following = lines[k + 1].strip("│ ")
        assert (same_line and same_line[0].strip()) or (following and not re.match("--[a-z]", following)), lines[k]


@pytest.mark.quick
def test_training_options_are_parsed_by_the_type_of_the_setting():
    words = [
        "supervised",
        "--run",
        "runs/x",
        "--betas",
        "0.9",
        "0.99",
        "--weights.style",
        "0",
        "--options",
        '{"width": 8}',
    ]
    config = parse_train_config([*words, "--frozen-norm", "--learning-rate", "1e-3"])
    assert config.stage == "supervised" and config.betas == (0.9, 0.99) and config.options == {"width": 8}
    assert config.weights.style == 0 and config.weights.perceptual == 1 and config.frozen_norm
    assert config.learning_rate == 1e-3 and config.precision == "auto"


def test_the_help_names_every_command():
    done = subprocess.run([sys.executable, "-m", "ssdie", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(command in done.stdout for command in COMMANDS)


def test_an_error_of_the_user_is_one_line_and_status_2(capsys, tmp_path):
    assert main(["dust", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("ssdie dust: ") and str(tmp_path / "none") in message and message.count("\n") == 1


@pytest.mark.quick
@pytest.mark.parametrize("name, missing, extra", [("train", "tyro", "train"), ("reproduce", "yaml", "workbook")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, missing, extra):
    """Runs in a subprocess, since modules that are already imported would hide the missing package."""
    arguments = [name, "--resume"] if name == "reproduce" else [name, "supervised", "--run", "x"]
    code = f"import sys; sys.modules[{missing!r}] = None; from ssdie.cli import main; sys.exit(main({arguments!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert f'ssdie {name}: needs {missing}. Install it with: pip install "ssdie[{extra}]"' in done.stderr


@pytest.mark.quick
@pytest.mark.parametrize("module", ["ssdie", "ssdie.photo", "ssdie.batch", "ssdie.enhancement", "ssdie.cli"])
def test_importing_the_packages_for_photos_imports_neither_torch_nor_jupyter(module):
    """Includes all their modules except `tensors` and `cluster`."""
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module({module!r})
names = [m.name for m in pkgutil.iter_modules(package.__path__)] if {module!r} != "ssdie" else []
for name in names:
    if name not in ("tensors", "cluster"):
        importlib.import_module(f"{module}.{{name}}")
import ssdie
assert ssdie.enhance
heavy = {{"torch", "torchvision", "accelerate", "cv2", "IPython", "ipywidgets", "papermill", "pandas"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stdout + done.stderr


def test_training_from_the_command_line(tmp_path, photo_folder, capsys):
    options = ["--steps", "2", "--batch", "2", "--size", "32", "--options", '{"width": 8}', "--report-every", "1"]
    weights = ["--weights.perceptual", "0", "--weights.style", "0", "--weights.gradient", "1"]
    run = ["--run", str(tmp_path), "--data", str(photo_folder), *options, *weights]
    assert main(["train", "supervised", *run]) == 0
    assert "generator.safetensors" in capsys.readouterr().out
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert header == "step,reconstruction,gradient,generator_gradient,learning_rate"


@pytest.mark.quick
def test_only_the_options_of_the_selected_command_are_built():
    assert vars(parse(["realism", "--count", "7"], "realism"))["count"] == 7
    with pytest.raises(SystemExit):
        parse(["realism", "--count", "7"], "evaluate")


@pytest.mark.quick
def test_photos_with_little_dust_are_listed_in_one_line(capsys):
    report = Report(as_json=False, strict=True, automatic=True)
    for number in range(5):
        report.add(Outcome(f"{number}.jpg", dust_score=0.0))
    report.add(Outcome("dusty.jpg", dust_score=0.9))
    report.add(Outcome("old.jpg"))
    assert report.finish() == 0  # not a failure
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("little dust: 0.jpg, 1.jpg, 2.jpg and 2 more: ")
    fixed = Report(as_json=False, strict=False)
    fixed.add(Outcome("0.jpg", dust_score=0.0))
    assert fixed.finish() == 0 and not capsys.readouterr().err


def test_an_interrupted_command_prints_one_line_and_exits_with_130(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ssdie.workbook.runner.run_notebooks", interrupt)
    assert main(["reproduce", "--only", "00"]) == 130
    assert capsys.readouterr().err == "ssdie reproduce: interrupted\n"

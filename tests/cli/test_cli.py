import subprocess
import sys

import pytest

from ssdie.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert COMMANDS[command][1].split()[0] in capsys.readouterr().out.lower()


def test_the_help_names_every_command():
    done = subprocess.run([sys.executable, "-m", "ssdie", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(command in done.stdout for command in COMMANDS)


def test_a_mistake_is_one_sentence_and_status_2(capsys, tmp_path):
    assert main(["dust", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "is no folder" in told and "Traceback" not in told


def test_training_from_the_command_line(tmp_path, photo_folder, capsys):
    options = ["--steps", "2", "--batch", "2", "--size", "32", "--options", '{"width": 8}', "--report-every", "1"]
    weights = ["--weights.perceptual", "0", "--weights.style", "0", "--weights.gradient", "1"]
    run = ["--run", str(tmp_path), "--data", str(photo_folder), *options, *weights]
    assert main(["train", "supervised", *run]) == 0
    assert "generator.safetensors" in capsys.readouterr().out
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert header == "step,reconstruction,gradient,generator_gradient,learning_rate"

"""Profiles and parameters of notebooks: defaults, overrides, types, errors."""

import pytest

from ssdie.cli import main
from ssdie.workbook.profiles import (
    NOTEBOOKS,
    check_type,
    choose_parameters,
    parse_text,
    read_defaults,
    select_notebooks,
    split_parameter,
)
from ssdie.workbook.runner import reproduce


def test_an_unknown_parameter_is_refused_before_any_notebook_runs(checkout, capsys):
    assert main(["reproduce", "--only", "03", "-p", "stepz=4"]) == 2
    message = capsys.readouterr().err
    assert all(name in message for name in ("stepz", "learning_rate", "steps", "features"))
    assert not (checkout / "runs").exists()


def test_an_override_must_be_a_parameter_of_a_notebook_that_runs(checkout):
    assert choose_parameters("quick", ["03_semi_supervised_training"], {"features": "vgg19"})
    with pytest.raises(ValueError, match="features"):
        choose_parameters("quick", ["00_enhance_a_photo"], {"features": "vgg19"})


def test_overrides_replace_values_of_the_notebook_which_replace_shared_ones(checkout):
    name = "03_semi_supervised_training"
    assert choose_parameters("quick", [name], {})[name] == {
        "features": "random",
        "steps": 5,
        "learning_rate": 1.0,
    }
    assert choose_parameters("quick", [name], {"steps": 7})[name]["steps"] == 7
    assert choose_parameters("quick", ["00_enhance_a_photo"], {}) == {"00_enhance_a_photo": {}}


@pytest.mark.parametrize(
    "content, message",
    [
        ("shared: {fetures: random}", "fetures"),
        ("03_semi_supervised_training: {stepz: 1}", "stepz"),
        ("03_semi: {steps: 1}", "03_semi"),
        ("03_semi_supervised_training: {learning_rate: 1e-4}", "1.0e-4"),
        ("03_semi_supervised_training: {sizes: 64}", "list"),
    ],
)
def test_a_wrong_profile_is_refused(checkout, content, message):
    (checkout / "notebooks" / "quick.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        choose_parameters("quick", ["03_semi_supervised_training"], {})


def test_defaults_are_read_with_their_types(checkout):
    assert read_defaults("00_enhance_a_photo") == {
        "run": "runs/quick",
        "steps": 3,
        "learning_rate": 1.0e-4,
        "sizes": [64],
    }


@pytest.mark.parametrize("value, default", [("3", 3), (3.5, 3), (True, 3), (1, "a"), (None, 1.0), ((1,), [1])])
def test_other_types_are_refused(value, default):
    with pytest.raises(ValueError, match="expected"):
        check_type("x", value, default)


@pytest.mark.parametrize(
    "text, default, value",
    [
        ("a=no", "auto", "no"),  # not False, as YAML reads it
        ("a=1e-4", 0.1, 1e-4),
        ("a=7", 3, 7),
        ("a=true", False, True),
        ("a=[1, 2]", [], [1, 2]),
        ("a={b: 1}", {}, {"b": 1}),
        ("a=b=c", "", "b=c"),
        ("a=", "x", ""),
    ],
)
def test_a_value_is_parsed_by_the_type_of_the_parameter(text, default, value):
    name, value_text = split_parameter(text)
    parsed = parse_text(name, value_text, default)
    assert name == "a" and parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize("text, default", [("a=x", 3), ("a=1.5", 3), ("a=no", False), ("a=3", []), ("a=[", [])])
def test_a_value_of_another_type_is_refused(text, default):
    with pytest.raises(ValueError, match=f"parameter a: expected {type(default).__name__}"):
        parse_text(*split_parameter(text), default)


@pytest.mark.parametrize("text", ["steps", "=3", "a b=3"])
def test_an_argument_without_assignment_is_refused(checkout, text):
    with pytest.raises(SystemExit):
        main(["reproduce", "-p", text])


def test_unknown_notebook_and_profile_are_refused(checkout):
    with pytest.raises(ValueError, match="05_paper_figures"):
        select_notebooks(["06"])
    with pytest.raises(ValueError, match="quick"):
        reproduce("slow")
    with pytest.raises(FileNotFoundError, match="checkout"):
        reproduce("paper")  # a known profile without a file here


def test_notebooks_are_selected_in_the_order_in_which_they_run():
    assert select_notebooks(["explore", "01"]) == ["01_dust_synthesis", *NOTEBOOKS[-3:]]
    assert select_notebooks() == list(NOTEBOOKS)

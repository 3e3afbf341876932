"""A server, a browser and an open page for the tests of the web page."""

import pytest
from app import browse, serve, visit


@pytest.fixture(scope="module")
def address():
    with serve() as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with browse() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(address, chromium):
    with visit(chromium, address) as page:
        yield page

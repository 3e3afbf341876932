"""A server and a browser for all tests of the page, and each test's own visit."""

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

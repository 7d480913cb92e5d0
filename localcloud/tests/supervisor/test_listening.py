"""Where an instance listens."""

from __future__ import annotations

import socket

import pytest
from localcloud.supervisor.listening import draw_address, listening

DRAWN = "127.20.30.40"


@pytest.mark.parametrize(
    ("entrypoint", "expected"),
    [
        ("gunicorn --bind :$PORT main:app", "gunicorn --bind 127.20.30.40:$PORT main:app"),
        ("gunicorn -b :${PORT} main:app", "gunicorn -b 127.20.30.40:${PORT} main:app"),
        ("gunicorn --bind=0.0.0.0:$PORT main:app", "gunicorn --bind=127.20.30.40:$PORT main:app"),
        ("gunicorn -b '[::]:$PORT' main:app", "gunicorn -b '127.20.30.40:$PORT' main:app"),
        ("waitress-serve --listen=*:$PORT main:app", "waitress-serve --listen=127.20.30.40:$PORT main:app"),
        ("gunicorn -b 127.0.0.1:$PORT main:app", "gunicorn -b 127.20.30.40:$PORT main:app"),
        ("gunicorn -b localhost:$PORT main:app", "gunicorn -b 127.20.30.40:$PORT main:app"),
        ("gunicorn -b [::1]:$PORT main:app", "gunicorn -b 127.20.30.40:$PORT main:app"),
        ("./server -addr :$PORT", "./server -addr 127.20.30.40:$PORT"),
        ("uvicorn main:app --host 0.0.0.0 --port $PORT", "uvicorn main:app --host 127.20.30.40 --port $PORT"),
        ("flask run --host=0.0.0.0 -p $PORT", "flask run --host=127.20.30.40 -p $PORT"),
        ("python manage.py runserver 0.0.0.0:$PORT", "python manage.py runserver 127.20.30.40:$PORT"),
    ],
)
def test_an_address_in_the_entrypoint_becomes_the_drawn_one(entrypoint: str, expected: str) -> None:
    found = listening(entrypoint, DRAWN)
    assert (found.host, found.entrypoint) == (DRAWN, expected)
    assert found.variables({}, 8081) == {}


@pytest.mark.parametrize(
    ("entrypoint", "name", "value"),
    [
        ("exec gunicorn main:app", "GUNICORN_CMD_ARGS", "--workers 2 --bind 127.20.30.40:8081"),
        ("venv/bin/gunicorn -k uvicorn.workers.UvicornWorker main:app", "GUNICORN_CMD_ARGS",
         "--workers 2 --bind 127.20.30.40:8081"),
        ("uvicorn main:app --port $PORT", "UVICORN_HOST", DRAWN),
        ("flask --app main run -p $PORT", "FLASK_RUN_HOST", DRAWN),
        ("python -m flask run -p $PORT", "FLASK_RUN_HOST", DRAWN),
    ],
)  # fmt: skip
def test_a_server_that_is_told_no_address_is_told_one_by_a_variable(
    entrypoint: str, name: str, value: str
) -> None:
    found = listening(entrypoint, DRAWN)
    assert (found.host, found.entrypoint) == (DRAWN, entrypoint)
    assert found.variables({"GUNICORN_CMD_ARGS": "--workers 2"}, 8081) == {name: value}


@pytest.mark.parametrize(
    "entrypoint",
    [
        "python main.py",
        "node server.js",
        "./run-gunicorn.sh",
        "gunicorn -b $ADDRESS main:app",
        "serve :$PORTABLE",
        "uvicorn main:app --host localhost --port $PORT",
        "flask run -h 127.0.0.1",
        "gunicorn -b 192.168.1.5:$PORT x",
    ],
)
def test_a_program_that_chooses_its_address_itself_is_asked_at_127_0_0_1(entrypoint: str) -> None:
    found = listening(entrypoint, DRAWN)
    assert (found.host, found.entrypoint) == ("127.0.0.1", entrypoint)
    assert found.variables({}, 8081) == {}


def test_an_address_is_drawn_that_only_this_machine_has() -> None:
    drawn = {draw_address() for _ in range(20)}
    if drawn == {"127.0.0.1"}:
        pytest.skip("this system has one loopback address")
    assert len(drawn) > 1
    for address in drawn:
        with socket.create_server((address, 0)) as server:
            port = server.getsockname()[1]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            socket.create_connection((address, port), timeout=5).close()


def test_where_the_system_has_one_loopback_address_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localcloud.supervisor.listening.is_free", lambda host, _: host == "127.0.0.1")
    assert draw_address() == "127.0.0.1"

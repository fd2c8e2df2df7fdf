"""A model that says what a script says: the chat completions of OpenAI, on the loopback.

Owns the protocol. Every request is kept, and the last answer of the script is given again and again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread


class Model(ThreadingHTTPServer):
    """Serves the answers in order; `prompts` are the texts of what it was asked."""

    def __init__(self, answers: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._answers = answers
        self._lock = Lock()
        self.prompts: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def answer(self, prompt: str) -> str:
        with self._lock:
            self.prompts.append(prompt)
            return self._answers[min(len(self.prompts), len(self._answers)) - 1]


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = self.server.answer("\n".join(message["content"] for message in asked["messages"]))
        message = {"role": "assistant", "content": said}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        encoded = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: what was asked is kept."""


@contextmanager
def serving(answers: Sequence[str]) -> Iterator[Model]:
    with Model(answers) as model:
        thread = Thread(target=model.serve_forever, daemon=True)
        thread.start()
        try:
            yield model
        finally:
            model.shutdown()
            thread.join()

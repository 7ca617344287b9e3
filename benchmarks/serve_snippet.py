"""The peer of serve_load.py, in an environment of its own: the service that people write around Transformers'
pipeline.

    python serve_snippet.py MODEL sync|async

The handler is a plain function, which FastAPI runs in its threads, or a coroutine that blocks; nothing else
is set.
"""

from __future__ import annotations

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
qa = pipeline("question-answering", model=sys.argv[1], tokenizer=sys.argv[1])


class Ask(BaseModel):
    """A question and its context."""

    question: str
    context: str


if sys.argv[2] == "sync":

    @app.post("/qa")
    def answer(ask: Ask) -> dict[str, object]:
        """The pipeline's answer."""
        found: dict[str, object] = qa(question=ask.question, context=ask.context)
        return found

else:

    @app.post("/qa")
    async def answer_async(ask: Ask) -> dict[str, object]:
        """The pipeline's answer."""
        found: dict[str, object] = qa(question=ask.question, context=ask.context)
        return found


class Announcing(uvicorn.Server):
    """A server that says when it is up."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and prints the address."""
        await super().startup(sockets)
        assert sockets is not None
        print(json.dumps({"url": f"http://127.0.0.1:{sockets[0].getsockname()[1]}"}), flush=True)


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    Announcing(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])

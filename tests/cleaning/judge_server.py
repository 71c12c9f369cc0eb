"""A real HTTP server on loopback that speaks the chat-completions API, and misbehaves if asked to."""

import json
import random
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cleaning.world_judge import Truth, read_question, verdict_text

FAULTS = (
    "429 with retry-after",
    "429",
    "500",
    "503",
    "time-out",
    "drip",
    "closed",
    "truncated body",
    "non-JSON body",
    "no choices",
    "no text",
    "not a verdict",
    "wrong verdict schema",
    "truncated verdict",
    "huge body",
    "500 with a huge body",
    "compressed",
)


class JudgeServer(ThreadingHTTPServer):
    """Judges by a [`Truth`]; a share of the requests fails in one of the ways of [`FAULTS`]."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, truth: Truth, fault_share: float = 0.0, faults=FAULTS, hang: float = 2.0, delay: float = 0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.truth, self.fault_share, self.faults, self.hang, self.delay = truth, fault_share, faults, hang, delay
        self.random = random.Random(0)
        self.lock = threading.Lock()
        self.log: list[str] = []  # every question received, in order
        self.answered: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.times: list[float] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def question(self, body) -> str:
        """What a request asks, as the log has it."""
        query, answer = read_question(body["messages"])
        return f"{query} {json.dumps(answer)}"

    def body_for(self, body) -> bytes:
        """The body of a response to a request that does not fail."""
        return completion_body(self.truth.verdict(*read_question(body["messages"])))

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what these tests are about


def completion_body(text) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"message": message}], "usage": {"total_tokens": 100}}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: JudgeServer

    def log_message(self, format, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        question = server.question(body)
        with server.lock:
            server.log.append(question)
            server.times.append(time.monotonic())
            server.bodies.append(body)
            fault = server.random.choice(server.faults) if server.random.random() < server.fault_share else None
            if fault:
                server.made[fault] += 1
            else:
                server.answered[question] += 1
        if server.delay:
            time.sleep(server.delay)
        if fault:
            self.misbehave(fault)
        else:
            self.reply(200, server.body_for(body))

    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def misbehave(self, fault):
        if fault == "429 with retry-after":
            self.reply(429, b'{"error": {"message": "slow down"}}', Retry_After="0.05")
        elif fault == "500 with a huge body":
            self.reply(500, b"x" * 3_000_000)
        elif fault[:3].isdigit():
            self.reply(int(fault[:3]), b"<html>sorry</html>")
        elif fault == "time-out":
            time.sleep(self.server.hang)
            self.close_connection = True
        elif fault == "drip":
            self.reply(200, b" ", Content_Length=1000)
            for _ in range(int(self.server.hang * 10)):
                time.sleep(0.1)
                self.wfile.write(b" ")
            self.close_connection = True
        elif fault == "closed":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == "truncated body":
            self.reply(200, b'{"choices": [{"mess', Content_Length=1000)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == "huge body":
            self.reply(200, b" " * 3_000_000)
        elif fault == "compressed":
            self.reply(200, b"x", Content_Encoding="gzip")
        elif fault == "non-JSON body":
            self.reply(200, b"<html>proxy</html>")
        elif fault == "no choices":
            self.reply(200, b'{"choices": []}')
        elif fault == "no text":
            self.reply(200, b'{"choices": [{"message": {"content": null}}]}')
        elif fault == "not a verdict":
            self.reply(200, completion_body("The answer looks fine to me."))
        elif fault == "wrong verdict schema":
            self.reply(200, completion_body(json.dumps({"correct": "yes", "reason": 3, "corrected": {}})))
        else:
            self.reply(200, completion_body(verdict_text(True)[:-9]))

"""A collector of ours that is away, slow or refuses. By itself, for bench/ uses it without the packages of the tests."""

import http.server
import threading
import time


class Listener:
    """A collector of ours on a port: answers with `status`, after `delay` seconds; keeps what it was sent."""

    def __init__(self, status=200, delay=0.0):
        self.status, self.delay, self.bodies, self.headers = status, delay, [], []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay, as a collector keeps them

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(listener.delay)
                listener.headers.append(dict(self.headers))
                listener.bodies.append((self.path, body))
                self.send_response(listener.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

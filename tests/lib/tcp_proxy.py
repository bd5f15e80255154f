"""A TCP proxy before a server, that cuts connections where a test asks for it: before something was handed on, or after the
server has acted on it and before its answer came back."""

import select
import socket
import threading


class Proxy:
    def __init__(self, port, at=0):
        self.server = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", at))
        self.port = self.listener.getsockname()[1]
        self.cuts = {"before": 0, "after": 0}
        self.lock = threading.Lock()
        self.plan = None  # (how, word)
        self.links = set()
        self.closing = self.refusing = False
        threading.Thread(target=self.accept, daemon=True).start()

    def cut(self, how, word):
        """The next connection that sends `word` to the server is cut, "before" it got there or "after" it was acted on."""
        with self.lock:
            self.plan = (how, word)

    def away(self):
        """From now on the server is not there: what is open is cut, and new connections are ended at once."""
        self.refusing = True
        self.cut_all()

    def back(self):
        self.refusing = False

    def cut_all(self):
        with self.lock:
            links = list(self.links)
        for link in links:
            for end in link:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def accept(self):
        while not self.closing:
            try:
                client, _ = self.listener.accept()
                if self.closing:
                    client.close()
                    break
                if self.refusing:
                    client.close()
                    continue
                server = socket.create_connection(self.server)
            except OSError:
                continue
            threading.Thread(target=self.carry, args=(client, server), daemon=True).start()

    def takes(self, piece):
        """How this piece is to be cut, once."""
        with self.lock:
            if self.plan and self.plan[1] in piece:
                how, self.plan = self.plan[0], None
                self.cuts[how] += 1
                return how
        return None

    def carry(self, client, server):
        link = (client, server)
        with self.lock:
            self.links.add(link)
        try:
            while True:
                for end in select.select([client, server], [], [])[0]:
                    piece = end.recv(1 << 16)
                    how = self.takes(piece) if end is client else None
                    if not piece or how == "before":
                        return
                    (server if end is client else client).sendall(piece)
                    if how == "after":
                        select.select([server], [], [], 2.0)  # the answer is there, and stays here
                        return
        except OSError:
            pass
        finally:
            with self.lock:
                self.links.discard(link)
            client.close()
            server.close()

    def close(self):
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        except OSError:
            pass
        self.listener.close()
        self.cut_all()

"""A real SMTP server for the tests (aiosmtpd): keeps what it was given, with TLS, sign-in and bad days as asked for."""

import email
import email.policy
import re
import ssl
import subprocess
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from shop import free_port, until

USER, PASSWORD = "duka", "a secret of the mail server"


class MailServer:
    """An SMTP server on a free port. `answers` are given to the next mails instead of taking them ("451 Later"); `dies` takes
    the next mail and breaks the connection before saying so."""

    def __init__(self, tls=None, auth=False):
        self.mails, self.tries, self.answers, self.dies = [], [], [], 0
        self.lock = threading.Lock()
        self.port = free_port()
        self.tls, self.auth = tls, auth
        self.controller = None

    def start(self):
        options = {}
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            options = {"tls_context": context, "require_starttls": True}
        if self.auth:
            options |= {"authenticator": self.check, "auth_required": True}
            options |= {"auth_require_tls": bool(self.tls)}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    @staticmethod
    def check(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=known, handled=False)

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self.lock:
            self.tries.append(message["Message-ID"])
            if self.answers:
                return self.answers.pop(0)
            self.mails.append((envelope, session, message))
            if self.dies:
                self.dies -= 1
                server.transport.abort()
        return "250 OK"

    # ---- what came ----

    def to(self, address):
        """The messages to an address, oldest first."""
        with self.lock:
            return [message for envelope, _, message in self.mails if address in envelope.rcpt_tos]

    def wait(self, address, count=1, seconds=20.0):
        """Waits until that many have come; gives the last one."""
        until(lambda: len(self.to(address)) >= count, seconds, f"{count} mails")
        messages = self.to(address)
        assert len(messages) == count, [message["Subject"] for message in messages]
        return messages[-1]


def text_of(message, kind="plain"):
    return message.get_body((kind,)).get_content()


def token_of(message):
    """The token in the link of a mail, which is the same in text and HTML."""
    found = re.findall(r"#token=([\w-]{43})", text_of(message))
    assert len(found) == 1 and found == re.findall(r"#token=([\w-]{43})", text_of(message, "html"))
    return found[0]


def certificate(folder, name="127.0.0.1"):
    """A certificate of its own for the address, and its key."""
    cert, key = folder / "mail.pem", folder / "mail.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=mail", "-addext", f"subjectAltName=IP:{name}",
            "-keyout", key, "-out", cert,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key

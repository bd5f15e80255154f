"""Brokers to test against: the real programs, on free ports of this machine, with data of their own.

RabbitMQ is Debian's; Kafka and ElasticMQ are fetched from Maven by scripts/brokers into
build/brokers. What cannot be had here raises Missing with the reason, and its tests are skipped.
"""

import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

from shop import ROOT, free_port, take_port, until

JARS = ROOT / "build" / "brokers"


class Missing(Exception):
    """Why a broker cannot be had."""


def free_ports(count):
    """The first of `count` free ports in a row."""
    for _ in range(200):
        first = free_port()
        if all(take_port(port) for port in range(first + 1, first + count)):
            return first
    raise AssertionError("no free ports")


def jars(name):
    """The class path of a program from Maven."""
    folder = JARS / name
    if not (folder / ".done").exists():
        if not shutil.which("java"):
            raise Missing("no Java here")
        done = subprocess.run(
            [str(ROOT / "scripts" / "brokers"), name], capture_output=True, text=True
        )
        if done.returncode != 0:
            last = (done.stdout + done.stderr).strip().splitlines() or ["no reason"]
            raise Missing(f"{name} could not be fetched: {last[-1]}")
    return f"{folder}/*"


class Broker:
    """A program that is started, killed and started again on the same data."""

    SECONDS = 90

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self.process = None
        self.port = free_ports(3)
        self.prepare()

    def prepare(self):
        """Raises Missing where it cannot be had."""

    def start(self):
        assert self.process is None
        with open(self.place / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment()},
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until(self.is_up, self.SECONDS, f"{type(self).__name__} to be up")
        except BaseException:
            self.kill()
            raise
        return self

    def environment(self):
        return {}

    def is_up(self):
        assert self.process.poll() is None, f"it ended:\n{self.log_tail()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self.answers()
        except OSError:
            return False

    def answers(self):
        """It listens; does it work?"""
        return True

    def log_tail(self):
        return "\n".join((self.place / "broker.log").read_text(errors="replace").splitlines()[-30:])

    def kill(self):
        """kill -9, with all that it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None

    def away(self):
        """From now on it is not there, in the hardest way that loses nothing that it confirmed."""
        self.kill()

    def back(self):
        self.start()

    def settings(self, **more):
        """The settings of a shop on this broker, apart from every other shop."""
        return {"BUS_URL": self.url, "BUS_PREFIX": "t" + secrets.token_hex(4), **more}

    def forget(self, prefix):
        """Drops what a shop with that prefix left here."""

    def overhear(self, prefix, topic):
        """Begins to keep what is published to a topic; gives a function that publishes all of it
        once more and tells how much that was."""
        raise NotImplementedError

    def inject(self, prefix, topic, headers, body):
        """Publishes something that no relay would."""
        raise NotImplementedError

    def hear(self, prefix, topic):
        """Begins to listen as somebody else would; gives a function that gives what came since it was last called."""
        raise NotImplementedError


class Heard:
    """A message as it lies at a broker: its headers as text, its body, and what it is ordered by (`unit`)."""

    def __init__(self, unit, headers, body, prefix, key=None, dedup=None):
        self.unit, self.headers, self.body, self.key, self.dedup = unit, headers, body, key, dedup
        self.attributes = {name[len(prefix):]: value for name, value in headers.items() if name.startswith(prefix)}


class Rabbitmq(Broker):
    SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def prepare(self):
        if not self.SERVER.exists():
            raise Missing("no RabbitMQ here: apt-get install rabbitmq-server")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"
        (self.place / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        (self.place / "enabled_plugins").write_text("[].\n")

    def command(self):
        return [str(self.SERVER)]

    def environment(self):
        place = str(self.place)
        return {
            "HOME": place,
            "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODENAME": f"duka{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{place}/mnesia",
            "RABBITMQ_LOG_BASE": f"{place}/log",
            "RABBITMQ_PID_FILE": f"{place}/pid",
            "RABBITMQ_DIST_PORT": str(self.port + 1),
            "ERL_EPMD_PORT": str(self.port + 2),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        }

    def away(self):
        """RabbitMQ 3.10 writes what makes a new quorum queue's leader to disk within 5 s: one that
        is killed before that comes back with queues that have none, whatever their clients do."""
        time.sleep(6)
        self.kill()

    def connect(self):
        import pika

        return pika.BlockingConnection(pika.URLParameters(self.url))

    def answers(self):
        import pika

        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def kill(self):
        super().kill()
        # epmd leaves the group; it knows this node alone, and listens on a port of ours.
        subprocess.run(
            ["epmd", "-port", str(self.port + 2), "-kill"], capture_output=True, check=False
        )

    def forget(self, prefix):
        connection = self.connect()
        channel = connection.channel()
        for consumer in ("users", "products", "orders"):
            for shard in range(16):
                channel.queue_delete(f"{prefix}.duka.{consumer}.{shard:02d}")
        for queue in ("example", "ear"):
            channel.queue_delete(f"{prefix}.{queue}")
        for topic in ("users.v1", "products.v1", "orders.v1"):
            channel.exchange_delete(f"{prefix}.{topic}")
        connection.close()

    def overhear(self, prefix, topic):
        connection = self.connect()
        channel = connection.channel()
        channel.exchange_declare(f"{prefix}.{topic}", "topic", durable=True)
        channel.queue_declare(f"{prefix}.ear", durable=True)
        channel.queue_bind(f"{prefix}.ear", f"{prefix}.{topic}", "#")

        def again():
            channel.queue_unbind(f"{prefix}.ear", f"{prefix}.{topic}", "#")
            count = 0
            while (found := channel.basic_get(f"{prefix}.ear", auto_ack=True))[0]:
                method, properties, body = found
                channel.basic_publish(f"{prefix}.{topic}", method.routing_key, body, properties)
                count += 1
            connection.close()
            return count

        return again

    def hear(self, prefix, topic):
        connection = self.connect()
        channel = connection.channel()
        channel.exchange_declare(f"{prefix}.{topic}", "topic", durable=True)
        channel.queue_declare(f"{prefix}.ear", durable=True)
        channel.queue_bind(f"{prefix}.ear", f"{prefix}.{topic}", "#")

        def heard():
            found = []
            while (got := channel.basic_get(f"{prefix}.ear", auto_ack=True))[0]:
                method, properties, body = got
                headers = {"content-type": properties.content_type, **properties.headers}
                found.append(Heard(method.routing_key, headers, body, "cloudEvents:"))
            return found

        return heard

    def inject(self, prefix, topic, headers, body):
        import pika

        connection = self.connect()
        named = {f"cloudEvents:{name}": value for name, value in headers.items()}
        connection.channel().basic_publish(
            f"{prefix}.{topic}", "00", body, pika.BasicProperties(headers=named)
        )
        connection.close()


    def ctl(self, *words):
        """Runs rabbitmqctl on it."""
        done = subprocess.run(
            ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", f"duka{self.port}@localhost", *words],
            env={**os.environ, **self.environment(), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def account(self, name, password, configure, write, read):
        """An account with these rights, as patterns of names."""
        self.ctl("add_user", name, password)
        self.ctl("set_permissions", name, configure, write, read)


class RabbitmqTls(Rabbitmq):
    """One that talks TLS and wants a certificate of who comes."""

    def prepare(self):
        from certificates import Authority

        super().prepare()
        self.authority = Authority(self.place)
        certificate, key = self.authority.make("broker", dns=("localhost",))
        self.client = self.authority.make("shop")
        self.tls_port = free_port()
        with open(self.place / "rabbitmq.conf", "a") as conf:
            conf.write(
                f"""listeners.ssl.1 = 127.0.0.1:{self.tls_port}
ssl_options.cacertfile = {self.authority.path}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
            )

    def tls_settings(self, host="localhost", **more):
        return {
            "BUS_URL": f"amqps://{host}:{self.tls_port}",
            "BUS_USER": "guest",
            "BUS_PASSWORD": "guest",
            "BUS_TLS_CA_FILE": str(self.authority.path),
            "BUS_TLS_CERT_FILE": str(self.client[0]),
            "BUS_TLS_KEY_FILE": str(self.client[1]),
            "BUS_PREFIX": "t" + secrets.token_hex(4),
            **more,
        }


class Kafka(Broker):
    """One node that is broker and controller (KRaft)."""

    def prepare(self):
        self.classes = jars("kafka")
        self.url = f"kafka://127.0.0.1:{self.port}"
        (self.place / "server.properties").write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.port + 1}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.port + 1}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={self.place}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""
        )
        self.java("kafka.tools.StorageTool", "format", "-t", self.cluster_id(), "-c", "server.properties")

    def cluster_id(self):
        import base64

        return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")

    def line(self, *words):
        return [
            "java",
            "-Xms128m",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            self.classes,
            *words,
        ]

    def java(self, *words):
        subprocess.run(self.line(*words), cwd=self.place, check=True, capture_output=True)

    def command(self):
        return self.line("kafka.Kafka", "server.properties")

    def admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})

    def answers(self):
        from confluent_kafka import KafkaException

        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def overhear(self, prefix, topic):
        from confluent_kafka import Consumer, Producer

        at = {"bootstrap.servers": f"127.0.0.1:{self.port}"}

        def again():
            ear = Consumer({**at, "group.id": f"{prefix}.ear", "auto.offset.reset": "earliest"})
            mouth, heard = Producer(at), []
            ear.subscribe([f"{prefix}.{topic}"])
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                message = ear.poll(1.0)
                if message is not None and not message.error():
                    heard.append(message)
                elif heard:
                    break
            for message in heard:
                mouth.produce(
                    message.topic(),
                    message.value(),
                    message.key(),
                    message.partition(),
                    headers=message.headers(),
                )
            mouth.flush(10)
            ear.close()
            return len(heard)

        return again

    def hear(self, prefix, topic):
        from confluent_kafka import Consumer

        ear = Consumer({"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": f"{prefix}.ear",
                        "auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 1000})  # fmt: skip
        ear.subscribe([f"{prefix}.{topic}"])

        def heard():
            got = [message for message in ear.consume(100, 1.0) if not message.error()]
            return [
                Heard(one.partition(), {name: value.decode() for name, value in one.headers()}, one.value(), "ce_",
                      one.key().decode())  # fmt: skip
                for one in got
            ]

        return heard

    def inject(self, prefix, topic, headers, body):
        from confluent_kafka import Producer

        mouth = Producer({"bootstrap.servers": f"127.0.0.1:{self.port}"})
        named = [(f"ce_{name}", value.encode()) for name, value in headers.items()]
        mouth.produce(f"{prefix}.{topic}", body, b"key", 0, headers=named)
        mouth.flush(10)

    def forget(self, prefix):
        names = [f"{prefix}.{topic}" for topic in ("users.v1", "products.v1", "orders.v1")]
        for done in self.admin().delete_topics(names).values():
            done.exception()


class KafkaTls(Kafka):
    """One with TLS, accounts (SASL/PLAIN) and rights; from this machine it is administered in clear."""

    USERS = {"owner": "owner-secret", "shop": "shop-secret"}

    def prepare(self):
        from certificates import Authority

        super().prepare()
        self.authority = Authority(self.place)
        certificate, key = self.authority.make("broker", dns=("broker.example",))
        store = self.place / "broker.store.pem"
        store.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.tls_port = free_port()
        users = " ".join(f'user_{name}="{word}"' for name, word in self.USERS.items())
        path = self.place / "server.properties"
        text = path.read_text()
        text = text.replace("listeners=PLAINTEXT:", f"listeners=SASL_SSL://127.0.0.1:{self.tls_port},PLAINTEXT:", 1)
        text = text.replace(
            "advertised.listeners=", f"advertised.listeners=SASL_SSL://127.0.0.1:{self.tls_port},"
        )
        text = text.replace("protocol.map=", "protocol.map=SASL_SSL:SASL_SSL,")
        path.write_text(
            text
            + f"""inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
ssl.keystore.type=PEM
ssl.keystore.location={store}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:owner
"""
        )

    def allow(self, name, prefix):
        """What a service needs that makes nothing."""
        from confluent_kafka.admin import (
            AclBinding,
            AclOperation,
            AclPermissionType,
            ResourcePatternType,
            ResourceType,
        )

        wanted = [
            (ResourceType.TOPIC, AclOperation.READ),
            (ResourceType.TOPIC, AclOperation.WRITE),
            (ResourceType.TOPIC, AclOperation.DESCRIBE),
            (ResourceType.GROUP, AclOperation.READ),
        ]
        bindings = [
            AclBinding(
                kind, prefix, ResourcePatternType.PREFIXED, f"User:{name}", "*", operation, AclPermissionType.ALLOW
            )
            for kind, operation in wanted
        ]
        admin = self.admin()
        for done in admin.create_acls(bindings).values():
            done.result(10)

    def tls_settings(self, host="127.0.0.1", user="owner", **more):
        return {
            "BUS_URL": f"kafkas://{host}:{self.tls_port}",
            "BUS_USER": user,
            "BUS_PASSWORD": self.USERS[user],
            "BUS_TLS_CA_FILE": str(self.authority.path),
            "BUS_PREFIX": "t" + secrets.token_hex(4),
            **more,
        }


def aws_client(where, user, password, service="sqs"):
    import boto3

    return boto3.client(
        service,
        endpoint_url=f"http://{where}",
        region_name="us-east-1",
        aws_access_key_id=user,
        aws_secret_access_key=password,
    )


class Sqs(Broker):
    """What the two have in common that speak SQS."""

    def prepare(self):
        self.url = f"sqs://127.0.0.1:{self.port}/?region=us-east-1&plain=true"

    def key(self):
        """An access key that may use it: (id, secret)."""
        return "x", "x"

    def settings(self, **more):
        user, password = self.key()
        return super().settings(BUS_USER=user, BUS_PASSWORD=password, **more)

    def away(self):
        """It keeps its messages in memory, so it is stopped, not killed: SQS does not forget."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def back(self):
        os.killpg(self.process.pid, signal.SIGCONT)
        until(self.is_up, self.SECONDS, "SQS to answer")

    def client(self, service="sqs", key=None):
        return aws_client(f"127.0.0.1:{self.port}", *(key or self.key()), service)

    def hear(self, prefix, topic):
        """By a queue of its own, which says by its tag what it wants, as any consumer's does."""
        import base64

        client = self.client()
        made = client.create_queue(QueueName=f"{prefix}-duka-ear.fifo", Attributes={"FifoQueue": "true"},
                                   tags={"duka-topics": topic})  # fmt: skip

        def heard():
            got = client.receive_message(
                QueueUrl=made["QueueUrl"], MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"],
                AttributeNames=["All"]).get("Messages", [])  # fmt: skip
            for one in got:
                client.delete_message(QueueUrl=made["QueueUrl"], ReceiptHandle=one["ReceiptHandle"])
            return [
                Heard(one["Attributes"]["MessageGroupId"],
                      {name: value["StringValue"] for name, value in one["MessageAttributes"].items()},
                      base64.b64decode(one["Body"]), "ce_", one["Attributes"]["MessageGroupId"],
                      one["Attributes"]["MessageDeduplicationId"])  # fmt: skip
                for one in got
            ]

        return heard

    def queues(self, prefix, topic):
        """The URLs of those that listen to a topic."""
        client = self.client()
        urls = client.list_queues(QueueNamePrefix=f"{prefix}-duka-").get("QueueUrls", [])
        tags = {url: client.list_queue_tags(QueueUrl=url).get("Tags", {}) for url in urls}
        return [url for url in urls if topic in tags[url].get("duka-topics", "").split()]

    def send(self, prefix, topic, group, headers, body):
        """A message to all that listen, under a deduplication id of its own, as SQS knows none after five minutes."""
        import base64

        client = self.client()
        for url in self.queues(prefix, topic):
            client.send_message(
                QueueUrl=url,
                MessageBody=base64.b64encode(body).decode() or "=",
                MessageGroupId=group,
                MessageDeduplicationId=secrets.token_hex(8),
                MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in headers.items()},
            )

    def overhear(self, prefix, topic):
        hear, kept = self.hear(prefix, topic), []

        def again():
            while got := hear():
                kept.extend(got)
            client = self.client()
            client.delete_queue(QueueUrl=client.get_queue_url(QueueName=f"{prefix}-duka-ear.fifo")["QueueUrl"])
            for one in kept:
                self.send(prefix, topic, one.unit, one.headers, one.body)
            return len(kept)

        return again

    def inject(self, prefix, topic, headers, body):
        named = {f"ce_{name}": value for name, value in headers.items()}
        self.send(prefix, topic, "key", {"topic": topic, **named}, body)

    def forget(self, prefix):
        client = self.client()
        for url in client.list_queues(QueueNamePrefix=prefix).get("QueueUrls", []):
            client.delete_queue(QueueUrl=url)


def not_taken(settings):
    """How many messages the queues of a shop still have, those that somebody holds among them. Other brokers give out again at
    once what one who is gone held: 0."""
    where = urllib.parse.urlsplit(settings.get("BUS_URL", ""))
    if where.scheme != "sqs":
        return 0
    client = aws_client(where.netloc, settings["BUS_USER"], settings["BUS_PASSWORD"])
    kinds = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    urls = client.list_queues(QueueNamePrefix=settings["BUS_PREFIX"]).get("QueueUrls", [])
    told = [client.get_queue_attributes(QueueUrl=url, AttributeNames=kinds)["Attributes"] for url in urls]
    return sum(int(of_queue[kind]) for of_queue in told for kind in kinds)


class Elasticmq(Sqs):
    """SQS as it behaves: queues in memory, strict limits. Signatures are not looked at."""

    def prepare(self):
        self.classes = jars("elasticmq")
        super().prepare()
        (self.place / "elasticmq.conf").write_text(
            f"""include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {self.port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-port = {self.port}, bind-hostname = "127.0.0.1", sqs-limits = strict }}
rest-stats {{ enabled = false }}
queues-storage {{ enabled = false }}
"""
        )

    def command(self):
        return [
            "java",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-Dconfig.file=elasticmq.conf",
            "-cp",
            self.classes,
            "org.elasticmq.server.Main",
        ]


class Moto(Sqs):
    """SQS that checks signatures: after three calls without, which make a user and a key."""

    def prepare(self):
        super().prepare()
        self.made = None

    def command(self):
        return [str(ROOT / "build/venv/bin/moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]

    def environment(self):
        return {"INITIAL_NO_AUTH_ACTION_COUNT": "3"}

    def key(self):
        if self.made is None:
            import json

            iam = self.client("iam", ("x", "x"))
            iam.create_user(UserName="shop")
            made = iam.create_access_key(UserName="shop")["AccessKey"]
            rule = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
            iam.put_user_policy(
                UserName="shop",
                PolicyName="sqs",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [rule]}),
            )
            self.made = made["AccessKeyId"], made["SecretAccessKey"]
        return self.made


class Direct(Broker):
    """No broker: services push to each other's doors, here through proxies, so that one can be away."""

    SECRET = "what all services of a test sign with"

    def prepare(self):
        self.doors = {"products": self.port, "orders": self.port + 1, "users": self.port + 2}
        self.proxies = {}
        self.fronts = {}

    def start(self):
        from tcp_proxy import Proxy

        for name, port in self.doors.items():
            self.proxies[name] = Proxy(port, self.fronts.get(name, 0))
            self.fronts[name] = self.proxies[name].port
        return self

    def kill(self):
        for proxy in self.proxies.values():
            proxy.close()
        self.proxies = {}

    def settings(self, **more):
        where = "&".join(f"{name}=http://127.0.0.1:{port}" for name, port in self.fronts.items())
        doors = {f"{name.upper()}_ADDR": f"127.0.0.1:{port}" for name, port in self.doors.items()}
        return {"BUS_URL": f"direct:?{where}", "BUS_PASSWORD": self.SECRET, "BUS_PREFIX": "", **doors, **more}


class Redis(Broker):
    """Keeps nothing on disk: killed and started again it has forgotten all."""

    SECONDS = 20

    def __init__(self, place, *, password=None, tls=None):
        self.password, self.tls = password, tls  # tls: (ca, certificate, key)
        super().__init__(place)

    def prepare(self):
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Missing("redis-server is not installed")
        self.url = f"redis://127.0.0.1:{self.port}"
        if self.tls:
            self.url = self.url.replace("redis:", "rediss:")

    def command(self):
        words = [self.program, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.place)]
        if self.password:
            words += ["--requirepass", self.password]
        if not self.tls:
            return [*words, "--port", str(self.port)]
        ca, certificate, key = map(str, self.tls)
        return [*words, "--port", "0", "--tls-port", str(self.port), "--tls-ca-cert-file", ca,
                "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"]  # fmt: skip

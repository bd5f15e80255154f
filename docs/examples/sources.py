"""The events of orders.v1 as each broker's own client gives them: attributes, payload, and a function that acknowledges."""

import base64
import os
from functools import partial
from urllib.parse import parse_qs, urlsplit

PREFIX = os.environ.get("BUS_PREFIX", "")
NAME = "example"  # what this consumer is called at the broker


def stripped(named, prefix):
    """The CloudEvents attributes among headers, without what the transport puts before them."""
    return {name[len(prefix) :]: value for name, value in named if name.startswith(prefix)}


def from_rabbitmq(url):
    import pika

    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    topic, queue = (f"{PREFIX}.{name}" if PREFIX else name for name in ("orders.v1", NAME))
    channel.exchange_declare(topic, "topic", durable=True)
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue, topic, "#")
    channel.basic_qos(prefetch_count=100)
    for method, properties, body in channel.consume(queue):
        ack = partial(channel.basic_ack, method.delivery_tag)
        yield stripped(properties.headers.items(), "cloudEvents:"), body, ack


def from_kafka(url):
    from confluent_kafka import Consumer

    servers = {"bootstrap.servers": urlsplit(url).netloc, "group.id": NAME}
    consumer = Consumer({**servers, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([f"{PREFIX}.orders.v1" if PREFIX else "orders.v1"])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        headers = ((name, value.decode()) for name, value in message.headers())
        yield stripped(headers, "ce_"), message.value(), partial(consumer.commit, message)


def from_sqs(url):
    import boto3

    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    scheme = "http" if options.get("plain") == "true" else "https"
    sqs = boto3.client("sqs", endpoint_url=f"{scheme}://{parts.netloc}", region_name=options["region"])
    # A FIFO queue with this tag, and a name that begins so, gets the events of these topics.
    name = (PREFIX + "-" if PREFIX else "") + f"duka-{NAME}.fifo"
    made = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"}, tags={"duka-topics": "orders.v1"})
    queue = {"QueueUrl": made["QueueUrl"]}
    while True:
        received = sqs.receive_message(
            **queue, MaxNumberOfMessages=10, WaitTimeSeconds=5, MessageAttributeNames=["All"]
        )
        for message in received.get("Messages", []):
            named = ((name, a["StringValue"]) for name, a in message["MessageAttributes"].items())
            ack = partial(sqs.delete_message, **queue, ReceiptHandle=message["ReceiptHandle"])
            yield stripped(named, "ce_"), base64.b64decode(message["Body"]), ack


SOURCES = {"amqp": from_rabbitmq, "amqps": from_rabbitmq, "kafka": from_kafka, "sqs": from_sqs}


def events_of(url):
    return SOURCES[urlsplit(url).scheme](url)

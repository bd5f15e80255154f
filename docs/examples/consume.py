"""Reads the orders.v1 events of a shop from its broker and prints each once, one JSON object a line.

    consume.py amqp://user:password@host:5672 | kafka://host:9092 | sqs://host/?region=eu-west-1

It needs nothing of Duka but its contracts (see README.md beside it). Events come at least once, in
order per order: whoever acts on them remembers the ids that it has seen, in the transaction of what
it does. Here that is a set; a real consumer keeps them in its database.
"""

import base64
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

from google.protobuf.json_format import MessageToDict
from orders.v1 import orders_pb2

PREFIX = os.environ.get("BUS_PREFIX", "")
NAME = "example"  # what this consumer is called at the broker
seen = set()


def handle(attributes, payload):
    """One event: CloudEvents attributes by name, and the payload that its type names."""
    if attributes["id"] in seen:
        return
    message = getattr(orders_pb2, attributes["type"].rpartition(".")[2])()
    message.ParseFromString(payload)
    facts = MessageToDict(message, preserving_proto_field_name=True)
    print(json.dumps({"id": attributes["id"], "type": attributes["type"], "data": facts}), flush=True)
    seen.add(attributes["id"])


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
        handle(stripped(properties.headers.items(), "cloudEvents:"), body)
        channel.basic_ack(method.delivery_tag)  # after the effect


def from_kafka(url):
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": urlsplit(url).netloc,
            "group.id": NAME,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([f"{PREFIX}.orders.v1" if PREFIX else "orders.v1"])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        headers = ((name, value.decode()) for name, value in message.headers())
        handle(stripped(headers, "ce_"), message.value())
        consumer.commit(message)  # after the effect


def from_sqs(url):
    import boto3

    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    scheme = "http" if options.get("plain") == "true" else "https"
    sqs = boto3.client("sqs", endpoint_url=f"{scheme}://{parts.netloc}", region_name=options["region"])
    # A FIFO queue with this tag, and a name that begins so, gets the events of these topics.
    queue = sqs.create_queue(
        QueueName=(PREFIX + "-" if PREFIX else "") + f"duka-{NAME}.fifo",
        Attributes={"FifoQueue": "true"},
        tags={"duka-topics": "orders.v1"},
    )["QueueUrl"]
    while True:
        received = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5, MessageAttributeNames=["All"]
        )
        for message in received.get("Messages", []):
            named = ((name, a["StringValue"]) for name, a in message["MessageAttributes"].items())
            handle(stripped(named, "ce_"), base64.b64decode(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


READERS = {"amqp": from_rabbitmq, "amqps": from_rabbitmq, "kafka": from_kafka, "sqs": from_sqs}

if __name__ == "__main__":
    READERS[urlsplit(sys.argv[1]).scheme](sys.argv[1])

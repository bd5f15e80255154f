"""Reads the orders.v1 events of a shop from its broker and prints each once, one JSON object a line.

    consume.py amqp://user:password@host:5672 | kafka://host:9092 | sqs://host/?region=eu-west-1

It needs nothing of Duka but its contracts (see README.md beside it). Events come at least once, in
order per order: whoever acts on them remembers the ids that it has seen, in the transaction of what
it does. Here that is a set; a real consumer keeps them in its database.
"""

import json
import sys

from google.protobuf.json_format import MessageToDict
from orders.v1 import orders_pb2
from sources import events_of

seen = set()


def take(attributes, payload):
    """One event: the attributes of CloudEvents by name, and the payload that its type names."""
    if attributes["id"] in seen:
        return
    message = getattr(orders_pb2, attributes["type"].rpartition(".")[2])()
    message.ParseFromString(payload)
    facts = MessageToDict(message, preserving_proto_field_name=True)
    print(json.dumps({"id": attributes["id"], "type": attributes["type"], "data": facts}), flush=True)
    seen.add(attributes["id"])


if __name__ == "__main__":
    for attributes, payload, ack in events_of(sys.argv[1]):
        take(attributes, payload)
        ack()  # after the effect

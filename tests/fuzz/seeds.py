"""The seeds of the fuzzers, of our own writing: `seeds.py FOLDER` writes them into FOLDER/NAME-OF-THE-FUZZER.

Each shows a fuzzer one form that its reader knows, so that it need not find the form by chance. The first bytes are the
numbers that choose (see the head of each fuzzer). Blocks of HPACK and messages of protobuf are made by Python's own
libraries; what was found goes to tests/fuzz/regressions instead.
"""
import base64
import gzip
import json
import pathlib
import struct
import sys

import hpack

UUID = "0197f3a0-7c11-7abc-8def-0123456789ab"


def seeds_http1():
    host = b"Host: shop.example\r\n"
    plain = b"GET /products?limit=5 HTTP/1.1\r\n" + host + b"Accept: */*\r\n\r\n"
    body = b"POST /orders HTTP/1.1\r\n" + host + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    chunks = (b"POST /spool HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"
              b"5;name=value\r\nhello\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n")
    waits = b"PUT /hold HTTP/1.1\r\n" + host + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    old = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    return [b"00" + plain, b"0 " + plain + body + chunks + plain, b"1 " + plain + waits + chunks + plain,
            b"1x" + chunks * 2 + plain, b"00" + old + plain, b"00GET http://shop.example/a?b=c HTTP/1.1\r\n" + host + b"\r\n",
            b"00OPTIONS * HTTP/1.1\r\n" + host + b"\r\n" + plain, b"00HEAD /pieces HTTP/1.1\r\n" + host + b"\r\n" + plain,
            b"1zGET /pieces HTTP/1.1\r\n" + host + b"\r\n" + plain, b"00POST /refuse HTTP/1.1\r\n" + host +
            b"Content-Length: 4\r\nConnection: close\r\n\r\nabcd", b"00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"00POST /a HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"1aPOST /spool HTTP/1.1\r\n" + host + b"Content-Length: 40000\r\n\r\n" + b"s" * 40000]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(encoder, path, method="GET", more=()):
    return encoder.encode([(":method", method), (":scheme", "http"), (":authority", "shop.example"), (":path", path), *more])


def grpc_message(payload, packed=False):
    return bytes([packed]) + struct.pack(">I", len(payload)) + payload


def seeds_http2():
    encoder = hpack.Encoder()
    get = frame(1, 5, 1, block(encoder, "/products"))
    post = frame(1, 4, 3, block(encoder, "/orders", "POST", [("content-type", "application/json"), ("content-length", "2")]))
    post += frame(0, 1, 3, b"{}")
    held = frame(1, 5, 5, block(encoder, "/hold")) + frame(3, 0, 5, struct.pack(">I", 8))
    spool = frame(1, 4, 7, block(encoder, "/spool", "POST")) + frame(0, 8, 7, b"\2abc\0\0") + frame(0, 1, 7, b"d")
    pieces = frame(1, 0x25, 9, struct.pack(">IB", 3, 15) + block(encoder, "/pieces"))
    control = frame(4, 0, 0, struct.pack(">HIHI", 3, 10, 4, 100)) + frame(4, 1, 0) + frame(6, 0, 0, b"12345678")
    control += frame(8, 0, 0, struct.pack(">I", 1000)) + frame(2, 0, 1, struct.pack(">IB", 0, 7))
    goaway = frame(7, 0, 0, struct.pack(">II", 0, 0))
    parts = block(encoder, "/a", "GET", [("x-long", "v" * 40)])
    split = frame(1, 1, 11, parts[:9]) + frame(9, 0, 11, parts[9:12]) + frame(9, 4, 11, parts[12:])
    rpc = [("content-type", "application/grpc"), ("te", "trailers")]
    encoder = hpack.Encoder()
    watch = frame(1, 4, 1, block(encoder, "/grpc.health.v1.Health/Watch", "POST", rpc))
    watch += frame(0, 1, 1, grpc_message(b"\n\x10orders.v1.Orders"))
    check = frame(1, 4, 3, block(encoder, "/grpc.health.v1.Health/Check", "POST", rpc)) + frame(0, 1, 3, grpc_message(b""))
    reflection = frame(1, 4, 5, block(encoder, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "POST", rpc))
    for payload in (b":\x01*", b'"\x10orders.v1.Orders', b"\x1a\x0fduka/common.proto"):
        reflection += frame(0, 0, 5, grpc_message(payload))
    rpcs = watch + check + reflection + frame(0, 1, 5)
    return [b"00a" + get + post, b"00b" + get + post + held + control, b"01c" + get + post + spool + pieces + control + goaway,
            b"00d" + get + spool + pieces, b"00e" + get + split, b"00f" + rpcs, b"01g" + rpcs + control,
            b"10hPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + get]


def seeds_hpack():
    encoder = hpack.Encoder()
    blocks = [block(encoder, "/a"), block(encoder, "/b", "POST", [("x-one", "1"), ("x-two", "2" * 30)]),
              block(encoder, "/a", "GET", [("cookie", "a=b"), ("x-one", "1")]), block(encoder, "/c?d=e", "PATCH")]
    encoder.header_table_size = 100
    blocks += [block(encoder, "/after", "PUT", [("x-three", "3")])]
    plain = [encoder.encode([(":method", "GET"), (":path", "/p"), (":scheme", "http"), ("host", "h")], huffman=False)]

    def lay(choice, parts):
        return choice + b"".join(struct.pack(">H", len(part)) + part for part in parts)
    return [lay(b"a", blocks), lay(b"b", blocks[:2] + plain), lay(b"c", plain), lay(b"d", [b"\x3f\xe1\x1f\x82\x84\x86"])]


def seeds_json():
    bodies = [
        {"email": "amina@example.com", "password": "correct horse battery", "name": "Amina"},
        {"email": "amina@example.com", "password": "correct horse battery"},
        {"refresh_token": "abc"},
        {"lines": [{"sku": "mug", "quantity": 1}, {"sku": "cup", "quantity": 2}],
         "payment": {"provider": "simulator", "token": "approve"}, "note": "a\u00fc\u20ac\U0001f600\t\"\\/"},
        {"handle": "mug", "title": "A mug", "options": [{"name": "Color", "values": ["red", "blue"]}],
         "variants": [{"sku": "mug-1", "price": {"amount_minor": 1290, "currency": "EUR"}, "options": ["red"]}],
         "tags": ["a", "b"], "categories": ["x"], "images": [{"url": "https://img.example/1.jpg", "alt": "x"}]},
        {"quantity": -5, "reason": "count", "expected": 9223372036854775807},
        {"name": None, "line1": "Street 1", "city": "Berlin", "postal_code": "10115", "country": "DE"},
        {"lines": [], "amount": {"amount_minor": 0, "currency": "EUR"}, "restock": True, "status": "suspended", "role": "staff"},
        {},
    ]
    texts = [json.dumps(body).encode() for body in bodies]
    texts += [b'{"a":1,"a":2}', b"[" * 40, b'{"name":"\\ud83d\\ude00\\u0000"}', b'{"quantity":1e2}', b"", b'{"quantity":1.0}']
    return [bytes([choice]) + text for choice in range(0, 60, 3) for text in (texts[choice // 3 % len(texts)],)] + [
        b"0" + text for text in texts]


def seeds_protobuf():
    def varint(number):
        out = b""
        while number > 127:
            out += bytes([number & 127 | 128])
            number >>= 7
        return out + bytes([number])

    def text(field, value):
        return varint(field << 3 | 2) + varint(len(value)) + value

    def number(field, value):
        return varint(field << 3) + varint(value)
    messages = [text(1, b"amina@example.com") + text(2, b"correct horse battery") + text(3, b"Amina"),
                text(1, text(1, b"mug") + number(2, 3)) * 2 + text(2, text(1, b"simulator") + text(2, b"approve")),
                number(1, 2**64 - 1) + number(2, 1), varint(1 << 3 | 1) + b"12345678" + varint(2 << 3 | 5) + b"1234", b"",
                text(1, UUID.encode()) + number(2, 5) + text(15, b"unknown"), varint(1 << 3 | 3) + varint(1 << 3 | 4)]
    out = []
    for choice in range(0, 100, 4):
        message = messages[choice // 4 % len(messages)]
        out += [bytes([choice]) + b"0" + message, bytes([choice]) + b"1" + grpc_message(message)]
    out += [b"02" + grpc_message(gzip.compress(message, mtime=0), True) for message in messages]
    return out


def seeds_request():
    return [
        b"0/products?limit=5&sort=price&availability=in_stock&q=a%20b+c\nhost: shop\n\n",
        b"0/products/mug%2Fcup\naccept: */*\nif-none-match: \"v1\", W/\"v2\"\n\n",
        f"0/orders/{UUID}?wait=1\nauthorization: Bearer a.b.c\n\n".encode(),
        b"1/orders\ncontent-type: application/json; charset=utf-8\nidempotency-key: k-1\nprefer: wait=5, respond-async\n\n"
        b'{"lines":[{"sku":"mug","quantity":1}],"payment":{"provider":"simulator","token":"approve"}}',
        b'1/users\ncontent-type: application/json\n\n{"email":"a@b.example","password":"correct horse","name":"A"}',
        f"1/orders/{UUID}/cancel\nif-match: \"v3\"\nidempotency-key: k\n\n".encode(),
        b"3/users/me\ncontent-type: application/json\nif-match: *\n\n{\"name\":\"B\"}",
        f"4/users/me/addresses/{UUID}\nif-match: \"v1\"\n\n".encode(),
        b"0/stock/mug/ledger?after=AAAA&limit=1\ngrpc-timeout: 250m\n\n",
        b"1/products/import\ncontent-type: text/csv\n\nHandle,Title\n",
        b"0/users?email=a%40b.example&limit=100\n\n", b"5http://shop.example/orders?after=x\n\n",
        f"2/products/{UUID}\ncontent-type: application/json\nif-match: \"v1\"\n\n{{\"title\":\"x\"}}".encode(),
    ]


def seeds_jwt():
    header = json.dumps({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}).encode()
    claims = {"iss": "duka", "aud": "duka-api", "sub": UUID, "sid": UUID, "ver": 1, "roles": ["customer", "staff", "other"],
              "email_verified": True, "iat": 1700000000, "exp": 1700000900, "nbf": 1700000000}
    payload = json.dumps(claims).encode()

    def bare(bytes_):
        return base64.urlsafe_b64encode(bytes_).rstrip(b"=")
    return [b"1" + header + b"\n" + payload, b"2" + header + b"\n" + payload,
            b"1" + header.replace(b"EdDSA", b"none") + b"\n" + payload, b"1" + header + b"\n" + payload.replace(b"900", b"9000"),
            b"1" + header[:-1] + b',"crit":["x"]}\n' + payload, b"0Bearer " + bare(header) + b"." + bare(payload) + b"." + bare(b"s" * 64),
            b"0bearer a.b.c", b"0Basic YTpi", b"1" + header + b"\n" + json.dumps({**claims, "exp": 2**63 - 1}).encode()]


def seeds_inner():
    def claims(kind, user, roles, until=1700000020):
        return "|".join(["orders", "gateway", kind, user, user, "1", roles, "1", "1700000900", "192.0.2.1", str(until)]).encode()
    nil = "00000000-0000-0000-0000-000000000000"
    user = [claims(kind, who, roles) for kind, who, roles in (("u", UUID, "3"), ("n", nil, "0"), ("a", nil, "0"))]
    return [b"1" + payload for payload in user] + [b"2" + user[0], b"3" + user[0], b"0v1.YQ.YQ", b"1" + claims("u", UUID, "7", 9)]


def seeds_url():
    texts = {
        0: ["amqp://user:p%40ss@host:5672/vhost?x=y", "kafka://one:9092,two:9092", "sqs://sqs.eu-west-1.amazonaws.com/?region=eu-west-1",
            "direct:?users=http://127.0.0.1:3001&orders=http://[::1]:3003", "local:"],
        1: ["http://orders-service", "https://orders:8443", "dns:///orders.shop.svc:80", "unix:/run/orders.sock",
            "http://10.0.0.1:3000,10.0.0.2:3000", "http://[2001:db8::1]:80"],
        2: ["10.0.0.0/8, 2001:db8::/32\n192.0.2.9, 10.1.2.3", "10.0.0.1\n198.51.100.7", "\n1.2.3.4", "::/0\n::ffff:10.0.0.1, fe80::1"],
        3: ["https://a.example, http://localhost:5173\nhttps://a.example\nPOST\ncontent-type, authorization", "*\nnull\nGET\n"],
        4: ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456+02:00", UUID, "YWJj", "YWI=", "a%20b+c%C3%BC", "00ff"],
    }
    return [f"{choice}{text}".encode() for choice, some in texts.items() for text in some]


def seeds_cursor():
    return [b"0limit=5&after=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", b"11700000000000000 " + UUID.encode(), b"1",
            b"2" + struct.pack(">Q", 1700000000000000) + b"1290 " + UUID.encode(), b"2" + struct.pack(">Q", 2**64 - 1) + b"7",
            b"2" + struct.pack(">Q", 2**63) + b"7"]


def seeds_csv():
    old = b"Handle,Title,Body (HTML),Vendor,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price," \
          b"Image Src,Image Position,Status\r\n"
    rows = b"mug,A mug,<p>x</p>,Us,\"a, b\",Color,Red,mug-1,5,12.90,https://img.example/1.jpg,1,active\r\n" \
           b"mug,,,,,,Blue,mug-2,7,12.90,https://img.example/2.jpg,2,\r\n" \
           b"cup,\"A \"\"cup\"\"\nof tea\",,,,,,cup-1,0,\"9,50\",,,draft\r\n"
    return [b"z" + old + rows, b"5" + old.replace(b"\r\n", b"\n") + rows.replace(b"\r\n", b"\n"), b"\1" + b"\xef\xbb\xbf" + old + rows,
            b"aURL handle,Title,Price\nmug,Mug,1.00\n\n\nmug,Mug,1.00", b"aHandle,Title\n", b"a" + old + b"\"mug", b"0",
            b"aHandle,Title,Variant Price,Published,Variant Grams\rmug,M,1,TRUE,100\rcup,C,-1,maybe,x\r"]


def seeds_routes():
    return [
        b"shop.example\n/users/login\n- path: /users/login\n  exact: true\n  methods: [POST]\n  upstream: service:users\n"
        b"  access: anyone\n  rate: sign_in\n- path: /\n  upstream: service:products\n",
        b"SHOP.example:80\n/v1/orders/5\n- path: /v1/orders\n  host: shop.example\n  rewrite: /orders\n  upstream: service:orders\n"
        b"  access: staff\n  rate: none\n",
        b"h\n/blog/5\n- path: /blog\n  upstream: https://blog.example:8443\n  timeout: 5s\n  access: anyone\n",
        b"h\n/orders\n- path: /orders\n  upstream:\n    - to: service:orders\n      weight: 95\n    - to: http://orders-next:3000\n"
        b"      weight: 5\n- path: /\n  upstream: [{to: 'http://a', weight: 0}, {to: 'http://b,c', weight: 1000}]\n",
        b"h\n/\n[{path: /, upstream: 'service:orders'}]\n", b"h\n/\n- path: &a /x\n  upstream: *a\n", b"h\n/\n---\n- {}\n...\n---\n",
        b"\n\n- path: \"/\\u00fc\"\n  upstream: service:users\n  methods: []\n"]


def seeds_settings():
    return [b"DATA_DIR=/tmp/x\nHOLD_TIME=1s\n\n--listen-addr=127.0.0.1:1\n--rate-limit\n100\n\nworkers: 2\nhold_time: 10m\n",
            b"\n\nlisten_addr: \"[::]:3000\"\nrate_limit: 6000\nbus_url: 'amqp://h'\n", b"RATE_LIMIT=x\n\n\n",
            b"\n--help\n\n", b"\n--data-dir\n/tmp\noperand\n\n", b"\n\n{a: b}\n", b"\n\n- a\n", b"\n\nname: [1, 2]\n",
            b"SHOP_CURRENCY=KES\nMAIL_FROM=a@b.example\n\n\nmax_body: 1MiB\n", b"\n\n? |\n block\n: >\n folded\n",
            b"\n--inner-key=0123456789abcdef0123456789abcdef\n\n"]


EVENT = {"id": UUID, "source": "/orders", "specversion": "1.0", "type": "orders.v1.OrderPlaced", "time": "2026-01-31T09:30:00Z",
         "subject": UUID, "number": "1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
PAYLOAD = b"\n$" + UUID.encode() + b"\x10\x01"


def lines_of(prefix, separator, change=None):
    event = {**EVENT, **(change or {})}
    return "".join(f"{prefix}{name}{separator}{value}\n" for name, value in event.items() if value is not None).encode()


def seeds_event_kafka():
    return [b"shop.orders.v1\n" + lines_of("ce_", ":", change) + b"\n" + PAYLOAD
            for change in (None, {"number": None}, {"type": "users.v1.UserErased"}, {"number": "-1"}, {"id": None})]


def seeds_event_rabbitmq():
    table = b""
    for name, value in EVENT.items():
        key, text = f"cloudEvents:{name}".encode(), value.encode()
        table += bytes([len(key)]) + key + b"S" + struct.pack(">I", len(text)) + text
    properties = struct.pack(">H", 0x2000) + struct.pack(">I", len(table)) + table
    other = struct.pack(">H", 0x2000) + struct.pack(">I", 23) + b"\1tT12345678\1lI1234\1fF\0\0\0\0"
    return [b"0" + struct.pack(">H", len(part)) + part + PAYLOAD for part in (properties, other, b"\x80\0\4text")] + [
        b"1" + lines_of("cloudEvents:", "=") + b"\n" + PAYLOAD]


def seeds_event_sqs():
    attributes = {f"ce_{name}": {"DataType": "String", "StringValue": value} for name, value in EVENT.items()}
    attributes["topic"] = {"DataType": "String", "StringValue": "orders.v1"}
    message = {"MessageId": "1", "ReceiptHandle": "r", "Body": base64.b64encode(PAYLOAD).decode(), "MessageAttributes": attributes}
    return [b"00" + json.dumps({"Messages": [message, {"Body": "?"}]}).encode(),
            b"10" + b"\0000".join(json.dumps(part).encode() for part in (
                {"QueueUrls": ["https://sqs/1/duka-products.fifo"]}, {"Tags": {"duka-topics": "orders.v1"}},
                {"Successful": [{"Id": "0", "MessageId": "m"}], "Failed": [{"Id": "1", "Code": "x"}]})),
            b"20" + json.dumps({"Attributes": {"ApproximateNumberOfMessages": "7"}}).encode(),
            b'21{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}']


def seeds_event_direct():
    path, length = b"/internal/events/products\n", b"length:%d\n\n" % len(PAYLOAD)

    def event(change=None):
        return b"topic:orders.v1\n" + lines_of("", ":", change) + length + PAYLOAD

    return [b"1" + path + b"\n" + event(change) for change in (None, {"number": "x"}, {"type": "%C3%BC"})] + [
        b"1" + path + b"\n" + event() + event() + b"topic:other\nlength:0\n\n",
        b"0" + path + b"duka-signature: t=1700000000,v1=00\n\n" + event(), b"1/internal/events/x\n\n" + event()]


def seeds_upstream():
    encoder = hpack.Encoder()
    answer = frame(1, 4, 1, encoder.encode([(":status", "200"), ("content-type", "application/json"), ("content-length", "2")]))
    answer += frame(0, 1, 1, b"{}")
    rpc = frame(1, 4, 3, encoder.encode([(":status", "200"), ("content-type", "application/grpc")])) + frame(0, 0, 3, grpc_message(b"x"))
    rpc += frame(1, 5, 3, encoder.encode([("grpc-status", "5"), ("grpc-message", "not%20there"), ("grpc-status-details-bin", "CAU")]))
    interim = frame(1, 4, 5, encoder.encode([(":status", "100")])) + frame(1, 5, 5, encoder.encode([(":status", "204")]))
    control = frame(4, 1, 0) + frame(6, 0, 0, b"12345678") + frame(8, 0, 0, struct.pack(">I", 70000)) + frame(8, 0, 5, struct.pack(">I", 9))
    goaway = frame(7, 0, 0, struct.pack(">II", 3, 0))
    reset = frame(3, 0, 1, struct.pack(">I", 7))
    return [b"03a" + answer + rpc + interim, b"05b" + control + answer + goaway + rpc, b"02c" + reset + goaway, b"13d" + frame(4, 0, 0) + answer,
            b"07e" + control + interim + frame(0, 0, 3, b"y" * 16000)]


def needles():
    """For each fuzzer an input that its planted fault trips over (fuzz_plant_overread)."""
    bug = hpack.Encoder().encode([(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/"), ("x-bug", "1")])
    answer = frame(1, 5, 1, hpack.Encoder().encode([(":status", "200"), ("x", "bug")]))
    return {
        "csv": b"zHandle,Title,Variant Price\na,bug,1\n", "cursor": b"1bug x", "event_direct": b"1/internal/events/products\n\ntopic:bug\n",
        "event_kafka": b"t\nce_bug:1\n\n", "event_rabbitmq": b"1cloudEvents:bug=1\n\n", "event_sqs": b'00{"bug":1}',
        "hpack": b"a" + struct.pack(">H", len(bug)) + bug, "http1": b"00GET / HTTP/1.1\r\nHost: h\r\nX-Bug: 1\r\n\r\n",
        "http2": b"00a" + frame(1, 5, 1, bug), "inner": b"1orders|bug|", "json": b'0{"bug":1}', "jwt": b'1{"bug":1}\n{}',
        "protobuf": b"00\xff\xff\xff\xff", "request": b"0/?bug=1\n\n", "routes": b"h\n/\n- bug: 1\n", "settings": b"\n\nbug: 1\n",
        "upstream": b"00a" + answer, "url": b"0bug:x",
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / "planted").mkdir(parents=True, exist_ok=True)
    for name, needle in needles().items():
        (folder / "planted" / name).write_bytes(needle)
    for name, make in sorted(globals().items()):
        if not name.startswith("seeds_"):
            continue
        place = folder / name.removeprefix("seeds_")
        place.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(make()):
            (place / f"seed-{number:02}").write_bytes(seed)


if __name__ == "__main__":
    main()

"""The ways in: by the gateway, straight to the services, with their prefix taken off, by the Gateway API; over HTTPS and in clear."""

import json
import pathlib
import subprocess

import grpc
import pytest
from load import HOST, Customer
from shop import ROOT, accepted, refused


def goes_round(shop, door):
    """A whole order by a door: account, catalog, order, history."""
    customer = Customer.new(door)
    assert accepted(customer.get("/users/me"))["id"] == customer.id
    order = accepted(customer.place(shop.sku), 201)
    shop.note(customer, order)
    assert accepted(customer.get("/orders"))["items"][0]["id"] == order["id"]
    assert accepted(customer.get(f"/orders/{order['id']}/timeline"))["items"][0]["what"] == "placed"
    assert accepted(customer.get("/products?limit=1"))["items"]
    product = accepted(customer.get("/products?limit=1"))["items"][0]
    assert accepted(customer.get("/products/" + product["handle"]))["id"] == product["id"]
    refused(customer.get("/products/no-such-thing"), 404, "not_found")
    refused(customer.get("/users/me/nothing"), 404, "route.unknown")
    return customer


def test_by_the_gateway_over_https_and_in_clear(shop):
    goes_round(shop, shop.door)
    goes_round(shop, shop.door_at(scheme="http"))
    other = shop.door_at()
    answer = other.get(other.url + "/products", headers={"Host": "elsewhere.example"})
    assert answer.status_code == 404, "another host is not ours"
    shop.check_books()


@pytest.mark.parametrize("way", ["straight", "rewriting"])
def test_straight_to_each_service(shop, by, way):
    """With the whole path, and with the prefix taken off: what reaches the service is /me then, and only the header of a proxy that
    it trusts makes it /users/me."""
    by(way)
    goes_round(shop, shop.door)
    shop.check_books()


def test_by_the_gateway_api(shop, by, kube):
    by("gateway-api")
    goes_round(shop, shop.door)
    check_grpc(shop)
    routes = kube.items("httproutes.gateway.networking.k8s.io") + kube.items("grpcroutes.gateway.networking.k8s.io")
    for route in routes:
        conditions = {one["type"]: one["status"] for parent in route["status"]["parents"] for one in parent["conditions"]}
        assert conditions["Accepted"] == conditions["ResolvedRefs"] == "True", json.dumps(route["status"])
    shop.check_books()


def check_grpc(shop):
    """A public call of the contract and a health check, over TLS, by the GRPCRoute."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    credentials = grpc.ssl_channel_credentials(pathlib.Path(shop.authority.path).read_bytes())
    options = (("grpc.ssl_target_name_override", HOST), ("grpc.default_authority", HOST))
    with grpc.secure_channel(f"{shop.address}:443", credentials, options) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="orders.v1.Orders"), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        listed = channel.unary_unary("/products.v1.Products/ListProducts", request_serializer=bytes, response_deserializer=bytes)
        assert len(listed(b"", timeout=10)) > 10
        with pytest.raises(grpc.RpcError) as error:
            channel.unary_unary("/orders.v1.Orders/ListOrders", request_serializer=bytes, response_deserializer=bytes)(b"", timeout=10)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_the_certificate_is_the_secret_s(shop):
    done = subprocess.run(["openssl", "s_client", "-connect", f"{shop.address}:443", "-servername", HOST, "-CAfile", str(shop.authority.path),
                           "-verify_return_error"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout[-1500:]

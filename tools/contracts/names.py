"""How names of the contracts become names of C, the way protoc-gen-c makes them."""


def snake(camel):
    """CreateOrderRequest -> create_order_request."""
    out, was_upper = [], True
    for letter in camel:
        if letter.isupper():
            out.append(letter.lower() if was_upper else "_" + letter.lower())
        else:
            out.append(letter)
        was_upper = letter.isupper()
    return "".join(out)


def unit_of(package):
    """orders.v1 -> orders: the prefix of everything that the package gives."""
    return "google" if package.startswith("google.") else package.split(".")[0]


def c_package(package):
    """What protoc-gen-c is told to put before its types: Orders, Duka, Google__Protobuf."""
    if package.startswith("google."):
        return package
    return unit_of(package).capitalize()


def c_type(package, name):
    """Orders__CreateOrderRequest"""
    parts = c_package(package).split(".")
    return "__".join(part[0].upper() + part[1:] for part in parts) + "__" + name


def c_lower(package, name):
    """orders__create_order_request: what protoc-gen-c's functions and descriptors begin with."""
    return "__".join(snake(part) for part in c_package(package).split(".")) + "__" + snake(name)


def c_enum_value(package, enum, value):
    """ORDERS__ORDER_STATUS__ORDER_STATUS_PLACED"""
    return c_lower(package, enum).upper() + "__" + value

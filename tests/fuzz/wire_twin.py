"""Our wire of protobuf against Python's: `wire_twin.py PROGRAM [MESSAGES] [SEED]`.

Messages of every type of the contracts, filled by chance, and the same bytes changed by chance, go through both. What both
read is the same message; what Python's library wrote, ours reads; of what is broken, one may refuse what the other takes,
for a reason that is listed here, and it is told how often.
"""
import collections
import pathlib
import random
import subprocess
import sys
import tempfile

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2]
MESSAGES, SEED = 1500, 7
WORDS = ["", "mug", "a\u00fc\u20ac\U0001f600", "x" * 200, "0197f3a0-7c11-7abc-8def-0123456789ab", "\t\"\\\u0000"]
NUMBERS = [0, 1, -1, 127, 128, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]


def classes():
    """Python's classes of the messages of the contracts, by full name."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set"
        files = [f"{unit}/v1/{unit}.proto" for unit in ("users", "products", "orders")]
        code = protoc.main(["protoc", f"-I{ROOT}/contracts", f"-I{pathlib.Path(grpc_tools.__file__).parent / '_proto'}",
                            f"-I{pathlib.Path(sys.prefix) / 'lib' / f'python3.{sys.version_info.minor}' / 'site-packages'}",
                            "--include_imports", f"--descriptor_set_out={out}", *files])
        assert code == 0, "the contracts could not be read"
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:
        pool.Add(file)
    names = [f"{file.package}.{message.name}" for file in found.file if file.name in files for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


def value_of(dice, field):
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        word = dice.choice(WORDS)
        return word.encode() if field.type == field.TYPE_BYTES else word
    if kind == field.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if kind == field.CPPTYPE_ENUM:
        return dice.choice(field.enum_type.values).number
    bits = 64 if kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64) else 32
    number = dice.choice(NUMBERS)
    if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return abs(number) % 2**bits
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, number))


def fill(dice, message, depth=0):
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.4:
            continue
        if field.message_type:
            if depth < 4 and field.is_repeated:
                for _ in range(dice.randrange(3)):
                    fill(dice, getattr(message, field.name).add(), depth + 1)
            elif depth < 4:
                getattr(message, field.name).SetInParent()
                fill(dice, getattr(message, field.name), depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(value_of(dice, field) for _ in range(dice.randrange(4)))
        else:
            setattr(message, field.name, value_of(dice, field))
    return message


def change(dice, data):
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data) + 1)
        way = dice.randrange(5)
        if way == 0 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif way == 1 and at < len(data):
            data[at] = dice.randrange(256)
        elif way == 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 5))
        elif way == 3:
            del data[at : at + dice.randrange(1, 5)]
        else:
            data += data[at:]
    return bytes(data)


def read(message_class, data):
    """What Python reads, or None."""
    try:
        return message_class.FromString(data)
    except DecodeError:
        return None


def forget_bools(message):
    for field, value in list(message.ListFields()):
        if field.message_type:
            for one in value if field.is_repeated else [value]:
                forget_bools(one)
        elif field.cpp_type == field.CPPTYPE_BOOL:
            message.ClearField(field.name)


def same(a, b, is_whole):
    """By what they say, unknown fields left aside: both keep them, each in its own order. Of changed ones bools are left aside,
    too: protobuf-c takes a bool of any wire type, Python takes such a field for an unknown one."""
    a, b = type(a).FromString(a.SerializeToString()), type(b).FromString(b.SerializeToString())
    for message in (a, b):
        message.DiscardUnknownFields()
        if not is_whole:
            forget_bools(message)
    return a.SerializeToString(deterministic=True) == b.SerializeToString(deterministic=True)


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else MESSAGES
    dice = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else SEED)
    known = classes()
    asked = []
    for number in range(count):
        name = sorted(known)[number % len(known)]
        whole = fill(dice, known[name]()).SerializeToString()
        asked += [(name, whole, True), (name, change(dice, whole), False)]
    lines = "".join(f"{name} {data.hex()}\n" for name, data, _ in asked)
    said = subprocess.run([program], input=lines, capture_output=True, text=True)
    answers = said.stdout.splitlines()
    faults, verdicts = [], collections.Counter()
    if said.returncode != 0 or len(answers) != len(asked):
        faults.append(f"the program ended with {said.returncode} after {len(answers)} of {len(asked)} answers: {said.stderr[-2000:]}")
    for (name, data, is_whole), answer in zip(asked, answers):
        if answer == "?":
            faults.append(f"{name} is not known to the program")
            continue
        ours = None if answer == "-" else read(known[name], bytes.fromhex(answer))
        theirs = read(known[name], data)
        if is_whole and (ours is None or not same(ours, theirs, True)):
            faults.append(f"{name} {data.hex()}: not read as it was written ({answer})")
        elif ours is not None and theirs is not None and not same(ours, theirs, False):
            faults.append(f"{name} {data.hex()}: read as something else ({answer})")
        if not is_whole:
            # Ours alone: text that is no UTF-8 (the validator's to refuse). Theirs alone: groups, and known fields of another
            # wire type, which they keep as unknown and we refuse.
            verdicts["both read" if ours is not None and theirs is not None else "both refused" if answer == "-" and theirs is None
                     else "only we read" if answer != "-" else "only they read"] += 1
    print("\n".join(faults[:20]))
    print(f"told: {len(asked)} messages of {len(known)} types; of the changed ones: "
          + ", ".join(f"{verdicts[word]} {word}" for word in sorted(verdicts)))
    well = not faults and verdicts["both read"] > 0 and verdicts["both refused"] > 0
    print(f"counts: passed={int(well)} failed={int(not well)} skipped=0")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

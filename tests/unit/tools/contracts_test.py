"""tools/contracts: what it makes of a small contract, what it refuses, and whether the document of
the shop is current. Run by Meson; an argument runs the tests whose name or file holds it."""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools" / "contracts"))

import counted  # noqa: E402
import generate  # noqa: E402
from openapi_schemas import CONTROLS  # noqa: E402
from problem import ContractError  # noqa: E402

CONTRACTS = ROOT / "contracts"
TOYS = """
syntax = "proto3";
package toys.v1;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
import "duka/options.proto";
import "duka/common.proto";

service Toys {
  option (duka.service) = { title: "Toys" reacts: "toys.v1.ToyBroken" };

  // Makes a toy. It is new.
  rpc CreateToy(CreateToyRequest) returns (Toy) {
    option (google.api.http) = { post: "/toys" body: "*" };
    option (duka.call) = {
      access: "staff" once: true status: 201 location: "/toys/{id}" errors: "sku.taken"
    };
  }
  rpc UpdateToy(UpdateToyRequest) returns (Toy) {
    option (google.api.http) = { patch: "/toys/{id}" body: "*" };
    option (duka.call) = { access: "admin" if_match: true };
  }
  rpc ListToys(ListToysRequest) returns (ToyList) {
    option (google.api.http) = { get: "/toys" };
    option (duka.call) = { access: "anyone" lane: "loop" };
  }
  rpc CountToys(ListToysRequest) returns (ToyList) {
    option (duka.call) = { access: "neighbour" };
  }
}
enum ToyKind {
  TOY_KIND_UNSPECIFIED = 0;
  // Rolls.
  TOY_KIND_BALL = 1;
  TOY_KIND_DOLL = 2;
}
// A thing to play with.
message Toy {
  string id = 1;
  ToyKind kind = 3;
  string name = 2 [(duka.rule) = { example: "\\"Bear\\"" }];
  google.protobuf.Timestamp created_at = 4;
}
message CreateToyRequest {
  string name = 1 [(duka.rule) = { required: true length_min: 2 length_max: 20 }];
  int64 weight = 2 [(duka.rule) = { bounded: true min: -5 max: 5000000000 }];
  repeated string tags = 3 [(duka.rule) = { items_max: 7 }];
}
message UpdateToyRequest {
  string id = 1;
  string name = 2;
  google.protobuf.FieldMask update_mask = 3 [(duka.rule) = { internal: true }];
}
message ListToysRequest { int32 limit = 1; }
message ToyList { repeated Toy items = 1; }
message ToyBroken {
  option (duka.event) = { topic: "toys.v1" key: "toy_id" number: "number" };
  string toy_id = 1;
  int64 number = 2;
}
"""


class Folder:
    """A folder of contracts with toys as its only service."""

    def __init__(self, case):
        self.path = pathlib.Path(tempfile.mkdtemp())
        case.addCleanup(shutil.rmtree, self.path)
        for name in ("errors.tbl", "errors_kinds.tbl"):
            shutil.copy(CONTRACTS / name, self.path)
        shutil.copytree(CONTRACTS / "duka", self.path / "duka")
        (self.path / "toys" / "v1").mkdir(parents=True)

    def load(self, text):
        (self.path / "toys" / "v1" / "toys.proto").write_text(text, encoding="utf-8")
        return generate.load(self.path)


class Makes(unittest.TestCase):
    """What comes out."""

    @classmethod
    def setUpClass(cls):
        cls.case = cls()
        cls.files = generate.all_files(*Folder(cls.case).load(TOYS))
        cls.document = json.loads(cls.files["openapi.json"])

    @classmethod
    def tearDownClass(cls):
        cls.case.doCleanups()

    def check_has(self, name, *pieces):
        for piece in pieces:
            self.assertIn(piece, self.files[name])

    def test_fields_stand_in_the_order_of_their_numbers_with_their_rules(self):
        self.check_has(
            "toys.c",
            '{ .json_name = "name", .json_key = { ",\\"name\\":", 8 }, .length_min = 2, '
            '.length_max = 20, .required = true, .text = true },\n'
            '    { .json_name = "weight", .json_key = { ",\\"weight\\":", 10 }, .min = -5, '
            '.max = INT64_C(5000000000), .bounded = true },\n'
            '    { .json_name = "tags", .json_key = { ",\\"tags\\":", 8 }, .length_max = 255, '
            '.items_max = 7, .text = true },')
        source = self.files["toys.c"]
        fields = source[source.index("toys_toy_spec_fields[]"):]
        self.assertLess(fields.index('"name"'), fields.index('"kind"'))

    def test_texts_become_bytes_with_a_length(self):
        self.check_has("toys.pb-c.h", "struct  Toys__Toy\n", "ProtobufCBinaryData name;")
        self.assertNotIn("char *", self.files["toys.pb-c.h"])

    def test_the_enum_has_words(self):
        self.check_has("toys.c", 'toys_toy_kind_spec_words[] = { NULL, "ball", "doll" };')

    def test_a_mask_is_known_and_hidden(self):
        self.check_has("toys.c", ".mask_field = 2,", '"update_mask", .json_key = { '
                       '",\\"update_mask\\":", 15 }, .internal = true, '
                       '.message = &google_field_mask_spec }')

    def test_calls_for_clients_have_no_handlers(self):
        self.check_has("toys.c", "const struct call_spec toys_call_create_toy = {",
                       '.name = "toys.v1.Toys/CreateToy",', '.short_name = "toys.create_toy",')
        self.assertNotIn(".handle", self.files["toys.c"])

    def test_dispatch_names_each_handler_and_reaction(self):
        self.check_has("toys_dispatch.c", "return toys_create_toy(self, call, in);",
                       "return toys_on_toy_broken(self, call, in);",
                       '{ &toys_event_toy_broken, "toys.on_toy_broken", '
                       'handle_toys_on_toy_broken }',
                       ".handle = handle_count_toys,", ".index = 3,", ".calls_count = 4,")
        self.check_has("toys.h", "err toys_create_toy(struct toys *self, struct call *call,",
                       "/* Makes a toy. It is new. */")

    def test_paths_are_cut_into_pieces(self):
        self.check_has("toys.c", 'update_toy_pieces[] = { { "/toys/", -1 }, { NULL, 0 } };')

    def test_clients_are_typed(self):
        self.check_has("toys_client.c", "err toys_client_list_toys(struct client *client, "
                       "struct call *call,\n    const Toys__ListToysRequest *in, "
                       "const Toys__ToyList **out)",
                       "client_call(client, call, &toys_call_list_toys, in, &answer)")

    def test_the_same_contracts_give_the_same_bytes(self):
        self.assertEqual(self.files, generate.all_files(*Folder(self).load(TOYS)))

    def test_calls_of_neighbours_are_not_in_the_document(self):
        self.assertEqual(list(self.document["paths"]), ["/toys", "/toys/{id}"])

    def test_a_request_says_its_limits_and_refuses_more(self):
        schema = self.document["components"]["schemas"]["CreateToyRequest"]
        self.assertEqual(schema["required"], ["name"])
        self.assertIs(schema["additionalProperties"], False)
        self.assertEqual(schema["properties"]["name"],
                         {"type": "string", "pattern": f"^[^{CONTROLS}]*$",
                          "minLength": 2, "maxLength": 20})
        self.assertEqual(schema["properties"]["weight"]["maximum"], 5000000000)
        self.assertEqual(schema["properties"]["tags"]["maxItems"], 7)

    def test_null_counts_as_absent_where_a_member_may_be_absent(self):
        schemas = self.document["components"]["schemas"]
        made = schemas["CreateToyRequest"]["properties"]
        self.assertEqual(made["name"]["type"], "string")
        self.assertEqual(made["tags"]["type"], ["array", "null"])
        self.assertNotIn("null", json.dumps(schemas["ToyList"]))

    def test_what_the_path_sets_is_not_in_the_body(self):
        schema = self.document["components"]["schemas"]["UpdateToyRequest"]
        self.assertEqual(list(schema["properties"]), ["name"])

    def test_an_operation_tells_headers_and_errors(self):
        create = self.document["paths"]["/toys"]["post"]
        self.assertEqual(create["security"], [{"bearer": []}])
        self.assertIn({"$ref": "#/components/parameters/IdempotencyKey"}, create["parameters"])
        self.assertIn("Location", create["responses"]["201"]["headers"])
        codes = create["responses"]["409"]["content"]["application/problem+json"]["schema"]
        self.assertIn("sku.taken", codes["properties"]["code"]["enum"])
        patch = self.document["paths"]["/toys/{id}"]["patch"]
        self.assertIn({"$ref": "#/components/parameters/IfMatch"}, patch["parameters"])
        self.assertIn("412", patch["responses"])
        self.assertIn("428", patch["responses"])

    def test_the_document_in_c_is_the_document(self):
        source = self.files["openapi.c"]
        chunks = [line.strip().rstrip(";")[1:-1] for line in source.splitlines()
                  if line.startswith('    "')]
        text = "".join(chunks).encode("ascii").decode("unicode_escape").encode("latin-1")
        self.assertEqual(json.loads(text.decode("utf-8")), self.document)


class Refuses(unittest.TestCase):
    """Each contract that is wrong stops the build with the place and what to do."""

    def check(self, old, new, *words):
        self.assertEqual(TOYS.count(old), 1, old)
        with self.assertRaises(ContractError) as caught:
            Folder(self).load(TOYS.replace(old, new))
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_a_file_that_is_no_proto(self):
        self.check("message ToyList {", "message {", "toys.proto", "Correct the .proto file.")

    def test_an_unknown_option(self):
        self.check("once: true", "twice: true", "toys.proto", "twice")

    def test_a_scope_that_is_unknown_or_of_a_call_for_admins(self):
        self.check('access: "anyone" lane: "loop"', 'access: "anyone" scope: "toys" lane: "loop"',
                   "its scope 'toys' is unknown", "Take a word of duka.Scope")
        self.check('access: "admin" if_match: true', 'access: "admin" scope: "stock_read" if_match: true',
                   "a scope on a call for admin", "no API key may be let in there")

    def test_an_unknown_access(self):
        self.check('access: "admin"', 'access: "boss"', "call Toys.UpdateToy",
                   "its access is 'boss'", "Take one of: anyone, customer, staff")

    def test_an_unknown_lane(self):
        self.check('lane: "loop"', 'lane: "fast"', "its lane is 'fast'")

    def test_an_unknown_error(self):
        self.check('errors: "sku.taken"', 'errors: "sku.eaten"', "call Toys.CreateToy",
                   "'sku.eaten' is unknown", "contracts/errors.tbl")

    def test_a_path_variable_that_is_no_field(self):
        self.check('patch: "/toys/{id}"', 'patch: "/toys/{sku}"', "call Toys.UpdateToy",
                   "path variable {sku} is no text field of UpdateToyRequest")

    def test_a_path_that_cannot_be_read(self):
        self.check('patch: "/toys/{id}"', 'patch: "/toys/{id=*}"', "cannot be read")

    def test_a_body_that_is_no_field(self):
        self.check('post: "/toys" body: "*"', 'post: "/toys" body: "toy"', "its body 'toy'")

    def test_a_body_of_a_get(self):
        self.check('get: "/toys"', 'get: "/toys" body: "*"', "GET takes no body")

    def test_a_location_that_the_answer_has_not(self):
        self.check('location: "/toys/{id}"', 'location: "/toys/{handle}"',
                   "location names {handle}")

    def test_a_call_without_a_path_that_is_not_for_neighbours(self):
        self.check('access: "neighbour"', 'access: "staff"', "Toys.CountToys", "it has no path")

    def test_a_neighbours_call_with_a_path(self):
        self.check('access: "anyone" lane: "loop"', 'access: "neighbour"', "Remove google.api.http")

    def test_two_calls_at_one_path(self):
        self.check('access: "admin" if_match: true };\n  }',
                   'access: "admin" if_match: true };\n  }\n'
                   '  rpc PatchToy(UpdateToyRequest) returns (Toy) {\n'
                   '    option (google.api.http) = { patch: "/toys/{name}" body: "*" };\n'
                   '    option (duka.call) = { access: "admin" };\n  }',
                   "call Toys.PatchToy", "PATCH /toys/{} is taken by UpdateToy")

    def test_a_status_of_another_kind(self):
        self.check("status: 201", "status: 204", "duka.Empty go together")

    def test_a_reaction_to_nothing(self):
        self.check('reacts: "toys.v1.ToyBroken"', 'reacts: "toys.v1.ToyLost"', "toys.v1.ToyLost")
        self.check('reacts: "toys.v1.ToyBroken"', 'asks: "toys.v1.Shelves"', "it asks toys.v1.Shelves")

    def test_a_reaction_to_what_is_no_event(self):
        self.check('reacts: "toys.v1.ToyBroken"', 'reacts: "toys.v1.Toy"', "which is no event")

    def test_an_event_whose_key_is_no_field(self):
        self.check('key: "toy_id"', 'key: "id"', "message ToyBroken", "key names 'id'")

    def test_an_unknown_format(self):
        self.check("length_min: 2", 'format: "colour"', "CreateToyRequest, field name",
                   "its format is 'colour'")

    def test_bounds_that_are_not_said_to_hold(self):
        self.check("bounded: true min: -5", "min: -5", "field weight", "Add bounded: true")

    def test_lengths_the_wrong_way_round(self):
        self.check("length_min: 2", "length_min: 21", "length_min is above length_max")

    def test_an_example_that_is_no_json(self):
        self.check('example: "\\"Bear\\""', 'example: "Bear"', "its example is no JSON")

    def test_a_mask_that_clients_see(self):
        self.check(" [(duka.rule) = { internal: true }]", "", "Add internal: true")

    def test_a_type_that_json_has_not(self):
        self.check("int32 limit", "double limit", "field limit", "Take string")

    def test_optional_fields(self):
        self.check("int32 limit", "optional int32 limit", "field limit", "optional")

    def test_a_map(self):
        self.check("int32 limit = 1;", "map<string, string> limit = 1;", "is a map")

    def test_a_message_inside_itself(self):
        self.check("message ToyList { repeated Toy items = 1; }",
                   "message ToyList { repeated ToyList items = 1; }", "it contains itself")

    def test_a_message_in_the_query(self):
        self.check("int32 limit = 1;", "Toy toy = 1;", "would come from the query")

    def test_words_without_the_name_of_their_enum(self):
        self.check("TOY_KIND_DOLL", "KIND_DOLL", "KIND_DOLL does not begin with TOY_KIND_")

    def test_numbers_with_gaps(self):
        self.check("TOY_KIND_DOLL = 2", "TOY_KIND_DOLL = 3", "without gaps")

    def test_a_stream(self):
        self.check("rpc ListToys(ListToysRequest) returns (ToyList)",
                   "rpc ListToys(ListToysRequest) returns (stream ToyList)", "it streams")


class Document(unittest.TestCase):
    """contracts/openapi/duka.json."""

    @classmethod
    def setUpClass(cls):
        cls.text = (CONTRACTS / "openapi" / "duka.json").read_text(encoding="utf-8")

    def test_it_is_what_the_contracts_give(self):
        model, _ = generate.load(CONTRACTS)
        if generate.make_openapi(model) != self.text:
            self.fail("the contracts have changed: run make openapi and read the difference")

    def test_it_is_openapi(self):
        from openapi_spec_validator import validate
        validate(json.loads(self.text))

    def test_each_call_of_the_outside_has_an_example_that_its_schema_takes(self):
        from jsonschema import Draft202012Validator
        document = json.loads(self.text)
        for path, calls in document["paths"].items():
            for method, call in calls.items():
                for content in call.get("requestBody", {}).get("content", {}).values():
                    if "example" in content:
                        schema = {**content["schema"], "components": document["components"]}
                        errors = list(Draft202012Validator(schema).iter_errors(content["example"]))
                        self.assertEqual(errors, [], f"{method} {path}")


if __name__ == "__main__":
    counted.main(sys.modules[__name__])

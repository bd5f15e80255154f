#include "chassis/grpc_reflection.h"

#include "chassis/descriptors.h"
#include "chassis/protobuf.h"
#include "tests/lib/test.h"

enum { BY_NAME = 3, OF_SYMBOL = 4, OF_EXTENSION = 5, EXTENSIONS = 6, SERVICES = 7 };
enum { FILES = 4, NUMBERS = 5, LIST = 6, ERROR = 7 };

static bool is_ready(void *subject) { return subject == NULL; }

static const struct grpc_served SERVED[] = { { "orders.v1.Orders", is_ready, NULL } };

/* Asks, and gives the field of the answer that must be there. */
static str ask(struct test *t, struct grpc_reflection *self, uint32_t question, str subject,
               uint32_t field)
{
    struct text request = text_init(t->arena, 64), answer = text_init(t->arena, 64);
    str echoed, found;

    protobuf_add_bytes(&request, question, subject);
    CHECK(grpc_reflection_answer(self, t->arena, text_str(&request), &answer));
    CHECK(protobuf_find(text_str(&answer), 2, &echoed));
    CHECK_STR(echoed, text_str(&request));
    CHECK(protobuf_find(text_str(&answer), field, &found));
    CHECK(found.len > 0);
    return found;
}

/* How many fields a message has, and whether one of them holds a text. */
static int count(str message, str holds, bool *found)
{
    struct protobuf_field field;
    int fields = 0;

    *found = false;
    for (; protobuf_next(&message, &field) == PROTOBUF_FIELD; fields++)
        *found = *found || str_find(field.bytes, holds) >= 0;
    return fields;
}

TEST(it_lists_what_the_door_serves_and_itself)
{
    struct grpc_reflection self = { .served = SERVED, .served_count = 1 };
    bool found;
    str list = ask(t, &self, SERVICES, STR("*"), LIST);

    CHECK_INT(count(list, STR("orders.v1.Orders"), &found), 4);
    CHECK(found);
    CHECK(count(list, STR("grpc.health.v1.Health"), &found) == 4 && found);
    CHECK(count(list, STR("users.v1.Users"), &found) == 4 && !found);
}

TEST(a_file_comes_with_all_that_it_imports_and_over_a_stream_once)
{
    struct grpc_reflection self = { .served = SERVED, .served_count = 1 };
    bool found;

    str files = ask(t, &self, OF_SYMBOL, STR("orders.v1.Orders.CreateOrder"), FILES);
    CHECK(count(files, STR("orders/v1/orders.proto"), &found) >= 6 && found);
    CHECK(count(files, STR("google/protobuf/descriptor.proto"), &found) > 1 && found);
    files = ask(t, &self, BY_NAME, STR("users/v1/users.proto"), FILES);
    CHECK(count(files, STR("users/v1/users.proto"), &found) <= 2 && found);
    CHECK(count(files, STR("google/protobuf/descriptor.proto"), &found) <= 2 && !found);
    files = ask(t, &self, BY_NAME, STR("users/v1/users.proto"), FILES); /* asked for again */
    CHECK_INT(count(files, STR("users/v1/users.proto"), &found), 1);
}

TEST(every_name_is_found_and_others_are_not)
{
    struct grpc_reflection self = { .served = SERVED, .served_count = 1 };
    str error;

    for (int i = 0; i < descriptor_symbols_count; i++)
        ask(t, &self, OF_SYMBOL, descriptor_symbols[i].name, FILES);
    for (int i = 0; i < descriptor_files_count; i++)
        ask(t, &self, BY_NAME, descriptor_files[i].name, FILES);
    static const char *const wrong[] = { "", "a", "orders.v1.Order ", "users.v1", "zzz" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        error = ask(t, &self, OF_SYMBOL, str_of_z(wrong[i]), ERROR);
        CHECK_BYTES(error.ptr, "\x08\x05", 2); /* NOT_FOUND */
        ask(t, &self, BY_NAME, str_of_z(wrong[i]), ERROR);
        ask(t, &self, EXTENSIONS, str_of_z(wrong[i]), ERROR);
    }
}

TEST(extensions_are_found_by_type_and_number)
{
    struct grpc_reflection self = { .served = SERVED, .served_count = 1 };
    struct text asked = text_init(t->arena, 64);
    bool found;

    str numbers = ask(t, &self, EXTENSIONS, STR("google.protobuf.MethodOptions"), NUMBERS);
    CHECK_INT(count(numbers, STR("google.protobuf.MethodOptions"), &found), 3);
    protobuf_add_bytes(&asked, 1, STR("google.protobuf.MethodOptions"));
    protobuf_add_number(&asked, 2, 50001);
    str files = ask(t, &self, OF_EXTENSION, text_str(&asked), FILES);
    CHECK(count(files, STR("duka/options.proto"), &found) > 0 && found);
    protobuf_add_number(&asked, 2, 50009);
    ask(t, &self, OF_EXTENSION, text_str(&asked), ERROR);
}

TEST(a_broken_question_is_refused_and_an_empty_one_is_an_error_of_its_own)
{
    struct grpc_reflection self = { .served = SERVED, .served_count = 1 };
    struct text answer = text_init(t->arena, 64);
    str error;

    CHECK(!grpc_reflection_answer(&self, t->arena, str_of("\x3a\x09x", 3), &answer));
    CHECK(!grpc_reflection_answer(&self, t->arena, str_of("\x2a\x02\x0a\x09", 4), &answer));
    answer.len = 0;
    CHECK(grpc_reflection_answer(&self, t->arena, STR(""), &answer));
    CHECK(protobuf_find(text_str(&answer), ERROR, &error));
    CHECK_BYTES(error.ptr, "\x08\x03", 2); /* INVALID_ARGUMENT */
}

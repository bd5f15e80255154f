#include "chassis/mail.h"
#include "tests/lib/test.h"

static const struct mail PLAIN = { .message_id = { "id1@shop.example", 16 },
                                   .from = { "A Shop <shop@shop.example>", 26 },
                                   .to = { "amina@example.com", 17 },
                                   .subject = { "Hello", 5 },
                                   .text = { "One\nTwo\n", 8 },
                                   .date = INT64_C(784111777) * TIME_SECOND };

static bool holds(str message, const char *part) { return str_find(message, str_of_z(part)) >= 0; }

TEST(a_plain_mail_has_its_headers_and_its_text)
{
    CHECK_STR(mail_message(t->arena, &PLAIN), "From: \"A Shop\" <shop@shop.example>\r\n"
                                              "To: <amina@example.com>\r\n"
                                              "Subject: Hello\r\n"
                                              "Date: Sun, 06 Nov 1994 08:49:37 +0000\r\n"
                                              "Message-ID: <id1@shop.example>\r\n"
                                              "Auto-Submitted: auto-generated\r\n"
                                              "MIME-Version: 1.0\r\n"
                                              "Content-Type: text/plain; charset=utf-8\r\n"
                                              "Content-Transfer-Encoding: quoted-printable\r\n"
                                              "\r\n"
                                              "One\r\nTwo\r\n");
}

TEST(text_and_html_are_alternatives_between_boundaries)
{
    struct mail mail = PLAIN;
    mail.html = STR("<p>One</p>\n");
    str message = mail_message(t->arena, &mail);
    CHECK(holds(message, "Content-Type: multipart/alternative; boundary=\"=_"));
    CHECK(holds(message, "text/plain") && holds(message, "text/html"));
    CHECK(holds(message, "<p>One</p>\r\n--=_"));
    CHECK(str_ends(message, STR("--\r\n")));
    CHECK_STR(message, mail_message(t->arena, &mail)); /* each try is the same message */
}

TEST(no_field_can_begin_another_header)
{
    struct mail mail = PLAIN;
    mail.subject = STR("Hi\r\nBcc: everyone@example.com");
    mail.from = STR("A\r\nX: y <shop@shop.example>");
    str message = mail_message(t->arena, &mail);
    CHECK(holds(message, "Subject: Hi  Bcc: everyone@example.com\r\n"));
    CHECK(!holds(message, "\nBcc:") && !holds(message, "\nX:"));
}

TEST(a_subject_in_any_script_is_words_of_75_bytes_at_most)
{
    struct mail mail = PLAIN;
    mail.subject = STR("Gr\u00fc\u00dfe aus Z\u00fcrich \u2014 \u4f60\u597d\u4e16\u754c "
                       "\u4f60\u597d\u4e16\u754c and a good deal more than fits in a line");
    str message = mail_message(t->arena, &mail);
    ptrdiff_t at = str_find(message, STR("Subject: "));
    CHECK(at >= 0);
    str rest = str_slice(message, (size_t)at + 9, message.len);
    int words = 0;
    for (bool more = true; more; words++) {
        str line = str_cut(&rest, '\n');
        line = str_trim(line);
        CHECK(line.len <= 75 && str_starts(line, STR("=?utf-8?Q?")) && str_ends(line, STR("?=")));
        more = rest.len > 0 && rest.ptr[0] == ' ';
    }
    CHECK(words > 1);
    CHECK(holds(message, "=C3=BC"));
    CHECK(!holds(message, "=E4?=")); /* no code point is cut */
}

TEST(a_subject_that_looks_encoded_is_encoded_itself)
{
    struct mail mail = PLAIN;
    mail.subject = STR("=?utf-8?Q?x?=");
    CHECK(holds(mail_message(t->arena, &mail), "Subject: =?utf-8?Q?=3D=3Futf"));
}

TEST(a_body_is_cut_into_short_lines_and_keeps_its_bytes)
{
    struct mail mail = PLAIN;
    struct text body = text_init(t->arena, 400);
    for (int i = 0; i < 30; i++)
        text_add(&body, STR("a=b \u00e9 "));
    text_add(&body, STR("\nend \n"));
    mail.text = text_str(&body);
    str message = mail_message(t->arena, &mail);
    str rest = message;
    while (rest.ptr) {
        str line = str_cut(&rest, '\n');
        CHECK(line.len <= 78 + 1);
    }
    CHECK(holds(message, "a=3Db =C3=A9"));
    CHECK(holds(message, "end=20\r\n")); /* white space at the end of a line would be lost */
}

TEST(an_address_is_found_with_and_without_a_name)
{
    str address;
    CHECK(mail_address(STR("shop@shop.example"), &address));
    CHECK_STR(address, "shop@shop.example");
    CHECK(mail_address(STR("A Shop <shop@shop.example>"), &address));
    CHECK_STR(address, "shop@shop.example");
    CHECK_STR(mail_domain(address), "shop.example");
    CHECK(!mail_address(STR("shop"), &address));
    CHECK(!mail_address(STR("A <shop@shop.example"), &address));
    CHECK(!mail_address(STR("@shop.example"), &address));
    CHECK(!mail_address(STR("shop@"), &address));
    CHECK(!mail_address(STR("a b@shop.example"), &address));
    CHECK(!mail_address(STR(""), &address));
}

/* How mail leaves, as far as no server is needed: SMTP against a real one stands in
 * tests/e2e/test_mail.py. */
#include "base/crypto.h"
#include "chassis/mailer.h"
#include "os/disk.h"
#include "tests/lib/test.h"
#include <stdio.h>

static const struct mail MAIL = { .message_id = { "id1@shop.example", 16 },
                                  .from = { "shop@shop.example", 17 },
                                  .to = { "amina@example.com", 17 },
                                  .subject = { "Hello", 5 },
                                  .text = { "One\n", 4 },
                                  .date = 1000 * TIME_SECOND };

static void close_mailer(void *mailer) { mailer_close(mailer); }

/* Opens a mailer by two settings besides DATA_DIR. */
static err open_mailer(struct test *t, const char *url, const char *other, struct mailer **out)
{
    crypto_init();
    const char *data = str_z(t->arena, str_format(t->arena, "DATA_DIR=%s", test_folder(t)));
    const char *mail = str_z(t->arena, str_format(t->arena, "MAIL_URL=%s", url));
    char *environment[] = { (char *)(uintptr_t)data, (char *)(uintptr_t)mail,
                            (char *)(uintptr_t)other, NULL };
    char *arguments[] = { (char *)(uintptr_t) "test", NULL };
    const struct conf *conf;
    CHECK_OK(conf_load(t->arena, 1, arguments, environment, &conf, NULL));
    TRY(mailer_open(t->arena, conf, out));
    arena_defer(t->arena, close_mailer, *out);
    return OK;
}

TEST(a_folder_gets_a_file_a_mail_and_a_repeat_takes_its_place)
{
    const char *folder = test_folder(t);
    const char *url = str_z(t->arena, str_format(t->arena, "file:%s/out", folder));
    struct mailer *mailer;
    str why, *names, bytes;
    size_t count;
    CHECK_OK(open_mailer(t, url, "MAIL_FROM=A Shop <shop@shop.example>", &mailer));
    CHECK(mailer_is_on(mailer));
    CHECK_STR(mailer_domain(mailer), "shop.example");
    CHECK_STR(mailer_from(mailer), "A Shop <shop@shop.example>");

    CHECK_INT(mailer_send(mailer, t->arena, &MAIL, &why), MAILER_SENT);
    CHECK_INT(mailer_send(mailer, t->arena, &MAIL, &why), MAILER_SENT);
    str out = str_format(t->arena, "%s/out", folder);
    CHECK_OK(disk_list(t->arena, out, &names, &count));
    CHECK_INT(count, 1);
    CHECK(str_ends(names[0], STR("-id1.eml")));
    str path = str_format(t->arena, "%" STR_F "/%" STR_F, STR_A(out), STR_A(names[0]));
    CHECK_OK(disk_read(t->arena, path, 10000, &bytes));
    CHECK_STR(bytes, mail_message(t->arena, &MAIL));
}

TEST(a_folder_that_is_full_loses_its_oldest_mail)
{
    const char *folder = test_folder(t);
    const char *url = str_z(t->arena, str_format(t->arena, "file:%s/out", folder));
    struct mailer *mailer;
    str why, *names;
    size_t count;
    CHECK_OK(open_mailer(t, url, "MAIL_FROM=shop@shop.example", &mailer));
    for (int i = 0; i < 503; i++) {
        str path = str_format(t->arena, "%s/out/%016d-x.eml", folder, i);
        FILE *file = fopen(str_z(t->arena, path), "w");
        CHECK(file);
        CHECK_INT(fclose(file), 0);
    }
    CHECK_INT(mailer_send(mailer, t->arena, &MAIL, &why), MAILER_SENT);
    CHECK_OK(disk_list(t->arena, str_format(t->arena, "%s/out", folder), &names, &count));
    CHECK_INT(count, 501);
    CHECK_STR(names[0], "0000000000000003-x.eml");
    CHECK(str_ends(names[500], STR("-id1.eml")));
}

TEST(without_a_way_out_mail_is_off)
{
    struct mailer *mailer;
    str why;
    CHECK_OK(open_mailer(t, "none", "MAIL_FROM=shop@shop.example", &mailer));
    CHECK(!mailer_is_on(mailer));
    CHECK_INT(mailer_send(mailer, t->arena, &MAIL, &why), MAILER_SENT);
}

TEST(a_server_that_is_away_is_tried_later_and_says_nothing_personal)
{
    struct mailer *mailer;
    str why;
    CHECK_OK(open_mailer(t, "smtp://127.0.0.1:1", "MAIL_FROM=shop@shop.example", &mailer));
    CHECK_INT(mailer_send(mailer, t->arena, &MAIL, &why), MAILER_LATER);
    CHECK(why.len > 0);
    CHECK(str_find(why, STR("amina")) < 0);
}

TEST(a_template_is_read_from_the_folder_where_it_is_there)
{
    const char *folder = test_folder(t);
    char *environment[] = { (char *)(uintptr_t)str_z(
                                t->arena, str_format(t->arena, "MAIL_TEMPLATES_DIR=%s", folder)),
                            NULL };
    char *arguments[] = { (char *)(uintptr_t) "test", NULL };
    const struct conf *conf;
    str text;
    CHECK_OK(conf_load(t->arena, 1, arguments, environment, &conf, NULL));
    CHECK_OK(
        disk_write(t->arena, str_format(t->arena, "%s/verify.txt", folder), STR("ours"), 0600));
    CHECK_OK(mailer_template(t->arena, conf, "verify", "txt", STR("builtin"), &text));
    CHECK_STR(text, "ours");
    CHECK_OK(mailer_template(t->arena, conf, "verify", "html", STR("builtin"), &text));
    CHECK_STR(text, "builtin");
}

TEST(settings_that_make_no_sense_stop_the_start)
{
    struct mailer *mailer;
    CHECK_ERR(open_mailer(t, "http://x", "MAIL_FROM=shop@shop.example", &mailer), SETTING_INVALID);
    CHECK_ERR(open_mailer(t, "none", "MAIL_FROM=nobody", &mailer), SETTING_INVALID);
    CHECK_ERR(open_mailer(t, "none", "MAIL_TLS=maybe", &mailer), SETTING_INVALID);
    CHECK_OK(open_mailer(t, "none", "MAIL_TLS=try", &mailer));
}

#include "chassis/tls_files.h"

#include "os/disk.h"
#include "tests/lib/certificates.h"

struct files {
    const char *folder;
    struct certificate root, own, other;
};

static void put(struct test *t, struct files *files, const char *name, str bytes)
{
    str path = str_format(t->arena, "%s/%s", files->folder, name);
    CHECK_OK(disk_write(t->arena, path, bytes, 0600));
}

static struct files files_of(struct test *t)
{
    struct files files = { .folder = test_folder(t) };
    files.root =
        certificate_make(t, (struct certificate_wish){ .name = "root", .is_authority = true });
    files.own = certificate_make(
        t, (struct certificate_wish){ .name = "shop", .dns = "localhost", .issuer = &files.root });
    files.other = certificate_make(t, (struct certificate_wish){ .name = "other" });
    put(t, &files, "root.pem", files.root.pem);
    put(t, &files, "own.pem", files.own.pem);
    put(t, &files, "own.key", files.own.key);
    put(t, &files, "other.key", files.other.key);
    return files;
}

/* "cert=own.pem key=own.key" are the settings without what is the same in all. */
static err open_with(struct test *t, struct files *files, const char *cert, const char *key,
                     const char *ca, const char *names, struct tls_context **out)
{
    char *environment[5];
    int count = 0;
    const char *given[][2] = { { "TLS_CERT_FILE", cert },
                               { "TLS_KEY_FILE", key },
                               { "TLS_CLIENT_CA_FILE", ca } };
    for (int i = 0; i < 3; i++)
        if (given[i][1])
            environment[count++] =
                (char *)(uintptr_t)str_z(t->arena, str_format(t->arena, "%s=%s/%s", given[i][0],
                                                              files->folder, given[i][1]));
    if (names)
        environment[count++] =
            (char *)(uintptr_t)str_z(t->arena, str_format(t->arena, "TLS_CLIENT_NAMES=%s", names));
    environment[count] = NULL;

    char *argv[] = { (char *)(uintptr_t) "duka", NULL };
    const struct conf *conf;
    CHECK_OK(conf_load(t->arena, 1, argv, environment, &conf, NULL));
    return tls_files_open(t->arena, conf, out);
}

static void check_refused(struct test *t __attribute__((unused)), err error, const char *begin,
                          const char *words)
{
    CHECK_ERR(error, SETTING_INVALID);
    CHECK(str_starts(error->detail, str_of_z(begin)));
    if (str_find(error->detail, str_of_z(words)) < 0)
        FAIL("\"%s\" is not in \"%" STR_F "\"", words, STR_A(error->detail));
}

TEST(without_a_certificate_there_is_no_tls_and_with_one_there_is)
{
    struct files files = files_of(t);
    struct tls_context *tls;

    CHECK_OK(open_with(t, &files, NULL, NULL, NULL, NULL, &tls));
    CHECK(!tls);
    CHECK_OK(open_with(t, &files, "own.pem", "own.key", NULL, NULL, &tls));
    CHECK(tls);
    tls_close(tls);
    CHECK_OK(open_with(t, &files, "own.pem", "own.key", "root.pem", "a.shop, b.shop,", &tls));
    CHECK(tls);
    tls_close(tls);
}

TEST(settings_that_need_each_other_are_given_together)
{
    struct files files = files_of(t);
    struct tls_context *tls;

    check_refused(t, open_with(t, &files, "own.pem", NULL, NULL, NULL, &tls), "TLS_CERT_FILE",
                  "TLS_KEY_FILE is not");
    check_refused(t, open_with(t, &files, NULL, "own.key", NULL, NULL, &tls), "TLS_KEY_FILE",
                  "TLS_CERT_FILE is not");
    check_refused(t, open_with(t, &files, NULL, NULL, "root.pem", NULL, &tls), "TLS_CLIENT_CA_FILE",
                  "TLS_CERT_FILE is not");
    check_refused(t, open_with(t, &files, "own.pem", "own.key", NULL, "a", &tls),
                  "TLS_CLIENT_NAMES", "TLS_CLIENT_CA_FILE is not");
}

TEST(an_error_names_the_setting_and_the_file)
{
    struct files files = files_of(t);
    struct tls_context *tls;

    check_refused(t, open_with(t, &files, "none.pem", "own.key", NULL, NULL, &tls),
                  "TLS_CERT_FILE: ", "none.pem");
    check_refused(t, open_with(t, &files, "own.pem", "none.key", NULL, NULL, &tls),
                  "TLS_KEY_FILE: ", "none.key");
    check_refused(t, open_with(t, &files, "own.pem", "other.key", NULL, NULL, &tls),
                  "TLS_KEY_FILE (", "other.key): the key is not that of the certificate in");
    check_refused(t, open_with(t, &files, "own.pem", "own.key", "own.key", NULL, &tls),
                  "TLS_CLIENT_CA_FILE (", "own.key): this is no certificate");
    check_refused(t, open_with(t, &files, "own.pem", "own.key", "own.pem", NULL, &tls),
                  "TLS_CLIENT_CA_FILE (", "is not that of an authority");
}

TEST(there_are_only_so_many_names)
{
    struct files files = files_of(t);
    struct tls_context *tls;
    struct text names = text_init(t->arena, 400);

    for (int i = 0; i < TLS_NAMES_MAX; i++)
        text_add_format(&names, "n%d.shop,", i);
    CHECK_OK(open_with(t, &files, "own.pem", "own.key", "root.pem",
                       str_z(t->arena, text_str(&names)), &tls));
    tls_close(tls);
    text_add(&names, STR("one-more.shop"));
    check_refused(t,
                  open_with(t, &files, "own.pem", "own.key", "root.pem",
                            str_z(t->arena, text_str(&names)), &tls),
                  "TLS_CLIENT_NAMES", "at most 32");
}

#include "tests/lib/certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static void free_x509(void *x509) { X509_free(x509); }
static void free_pkey(void *pkey) { EVP_PKEY_free(pkey); }

static str bio_text(struct test *t, BIO *bio)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    str text = str_copy(t->arena, str_of(bytes, (size_t)len));
    BIO_free(bio);
    return text;
}

static void extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ASSERT(extension);
    ASSERT(X509_add_ext(x509, extension, -1));
    X509_EXTENSION_free(extension);
}

/* "DNS:a,DNS:b,URI:c" */
static const char *alt_names(struct test *t, const struct certificate_wish *wish)
{
    struct text out = text_init(t->arena, 200);
    for (str rest = str_of_z(wish->dns); rest.ptr && rest.len > 0;) {
        str name = str_cut(&rest, ',');
        text_add_format(&out, "%sDNS:%" STR_F, out.len ? "," : "", STR_A(name));
    }
    if (wish->uri)
        text_add_format(&out, "%sURI:%s", out.len ? "," : "", wish->uri);
    return out.len ? str_z(t->arena, text_str(&out)) : NULL;
}

struct certificate certificate_make(struct test *t, struct certificate_wish wish)
{
    static int serial = 1;
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    ASSERT(pkey && x509);
    X509 *issuer = wish.issuer ? wish.issuer->x509 : x509;
    bool is_dated = wish.from_s || wish.until_s;

    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x509), is_dated ? wish.from_s : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), is_dated ? wish.until_s : 86400);
    X509_set_pubkey(x509, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                               (const unsigned char *)wish.name, -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(issuer));
    extend(x509, issuer, NID_basic_constraints,
           wish.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (alt_names(t, &wish))
        extend(x509, issuer, NID_subject_alt_name, alt_names(t, &wish));
    ASSERT(X509_sign(x509, wish.issuer ? wish.issuer->pkey : pkey, EVP_sha256()));

    BIO *pem = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    ASSERT(PEM_write_bio_X509(pem, x509));
    ASSERT(PEM_write_bio_PrivateKey(key, pkey, NULL, NULL, 0, NULL, NULL));
    arena_defer(t->arena, free_x509, x509);
    arena_defer(t->arena, free_pkey, pkey);
    return (struct certificate){
        .pem = bio_text(t, pem), .key = bio_text(t, key), .x509 = x509, .pkey = pkey
    };
}

#include "services/users/mails.h"

static const char *const KINDS[MAIL_KINDS_COUNT] = {
    [MAIL_VERIFY] = "verify",
    [MAIL_RESET] = "reset",
    [MAIL_ORDER_CONFIRMED] = "order_confirmed",
    [MAIL_ORDER_REJECTED] = "order_rejected",
    [MAIL_ORDER_SHIPPED] = "order_shipped",
    [MAIL_ORDER_CANCELLED] = "order_cancelled",
    [MAIL_ORDER_REFUNDED] = "order_refunded",
};

static const char *const VARS[VARS_COUNT] = {
    [VAR_SHOP] = "shop",   [VAR_NAME] = "name",   [VAR_URL] = "url",       [VAR_UNTIL] = "until",
    [VAR_ORDER] = "order", [VAR_TOTAL] = "total", [VAR_REASON] = "reason",
};

static const time_us pause_max = 3600 * TIME_SECOND;

const char *mail_kind_word(enum mail_kind kind)
{
    ASSERT(kind < MAIL_KINDS_COUNT);
    return KINDS[kind];
}

bool mail_kind_of(str word, enum mail_kind *out)
{
    for (int i = 0; i < MAIL_KINDS_COUNT; i++)
        if (str_equal(word, str_of_z(KINDS[i]))) {
            *out = (enum mail_kind)i;
            return true;
        }
    return false;
}

bool mail_is_of_order(enum mail_kind kind) { return kind >= MAIL_ORDER_CONFIRMED; }

str mail_reason_text(str word)
{
    static const struct {
        str word, text;
    } reasons[] = {
        { STR("stock.insufficient"), STR("There was not enough in stock.") },
        { STR("payment.declined"), STR("The payment was declined.") },
        { STR("payment.voided"), STR("The payment was not kept up by its provider.") },
        { STR("payment.refunded"), STR("The payment was given back by its provider.") },
        { STR("hold.expired"), STR("It was not paid in time.") },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (str_equal(word, reasons[i].word))
            return reasons[i].text;
    return STR("");
}

/* ---- trying again ---- */

time_us mail_next_try(int32_t tries, time_us pause, time_us now)
{
    ASSERT(tries > 0 && pause > 0);
    for (int32_t i = 1; i < tries && pause < pause_max; i++)
        pause *= 2;
    return now + (pause < pause_max ? pause : pause_max);
}

time_us mail_due_max(time_us now) { return now + 2 * pause_max; }

bool mail_is_hopeless(const struct mail_job *job, bool was_refused, time_us keep, time_us now)
{
    ASSERT(job);
    return now - job->created_at >= keep || (was_refused && job->tries >= MAIL_REFUSED_TRIES_MAX);
}

/* ---- templates ---- */

static int var_of(str word)
{
    for (int i = 0; i < VARS_COUNT; i++)
        if (str_equal(word, str_of_z(VARS[i])))
            return i;
    return -1;
}

/* Takes what stands before the next {{word}}, and the word; false where there is none. */
static bool next_var(str *rest, str *before, str *word)
{
    ptrdiff_t open = str_find(*rest, STR("{{"));
    if (open < 0)
        return false;
    str after = str_slice(*rest, (size_t)open + 2, rest->len);
    ptrdiff_t close = str_find(after, STR("}}"));
    if (close < 0)
        return false;
    *before = str_slice(*rest, 0, (size_t)open);
    *word = str_slice(after, 0, (size_t)close);
    *rest = str_slice(after, (size_t)close + 2, after.len);
    return true;
}

static err check_vars(struct arena *arena, const char *name, str text)
{
    str before, word;
    while (next_var(&text, &before, &word))
        if (var_of(word) < 0)
            return fail(arena, SETTING_INVALID, "the mail %s: there is no {{%" STR_F "}}", name,
                        STR_A(word));
    return OK;
}

err mail_template_read(struct arena *arena, const char *name, str text, str html,
                       struct mail_template *out)
{
    ASSERT(arena && name && out);
    static const str subject = STR("Subject: ");
    TRY(check_vars(arena, name, text));
    TRY(check_vars(arena, name, html));

    str rest = text;
    str first = str_trim(str_cut(&rest, '\n'));
    if (!str_starts(first, subject) || !rest.ptr)
        return fail(arena, SETTING_INVALID, "the mail %s: its text begins with \"Subject: …\"",
                    name);
    str blank = rest;
    if (str_trim(str_cut(&blank, '\n')).len == 0 && blank.ptr)
        rest = blank;
    *out = (struct mail_template){ .subject = str_slice(first, subject.len, first.len),
                                   .text = rest,
                                   .html = html };
    return OK;
}

static void add_escaped(struct text *out, str value)
{
    for (size_t i = 0; i < value.len; i++)
        switch (value.ptr[i]) {
        case '&': text_add(out, STR("&amp;")); break;
        case '<': text_add(out, STR("&lt;")); break;
        case '>': text_add(out, STR("&gt;")); break;
        case '"': text_add(out, STR("&quot;")); break;
        case '\'': text_add(out, STR("&#39;")); break;
        default: text_add_byte(out, value.ptr[i]);
        }
}

static str fill(struct arena *arena, str text, const str values[VARS_COUNT], bool escapes)
{
    struct text out = text_init(arena, text.len + 256);
    str before, word;
    while (next_var(&text, &before, &word)) {
        int var = var_of(word);
        ASSERT(var >= 0);
        text_add(&out, before);
        if (escapes)
            add_escaped(&out, values[var]);
        else
            text_add(&out, values[var]);
    }
    text_add(&out, text);
    return text_str(&out);
}

struct mail_template mail_template_fill(struct arena *arena, const struct mail_template *template,
                                        const str values[VARS_COUNT])
{
    ASSERT(arena && template && values);
    return (struct mail_template){ .subject = fill(arena, template->subject, values, false),
                                   .text = fill(arena, template->text, values, false),
                                   .html = fill(arena, template->html, values, true) };
}

#include "chassis/mail.h"
#include "base/crypto.h"
#include "base/err.h"

enum { ENCODED_WORD_BYTES_MAX = 75, HEADER_LINE_BYTES_MAX = 78 };

static const char HEX_DIGITS[] = "0123456789ABCDEF";

/* ---- addresses ---- */

static bool is_bare_address(str address)
{
    ptrdiff_t at = str_find_byte(address, '@');
    if (at <= 0 || (size_t)at + 1 == address.len)
        return false;
    for (size_t i = 0; i < address.len; i++) {
        uint8_t byte = (uint8_t)address.ptr[i];
        if (byte <= ' ' || byte == 0x7F || byte == '<' || byte == '>')
            return false;
    }
    return true;
}

bool mail_address(str from, str *out)
{
    str address = str_trim(from);
    ptrdiff_t open = str_find_byte(address, '<');
    if (open >= 0) {
        if (address.ptr[address.len - 1] != '>')
            return false;
        address = str_slice(address, (size_t)open + 1, address.len - (size_t)open - 2);
    }
    if (!is_bare_address(address))
        return false;
    *out = address;
    return true;
}

str mail_domain(str address)
{
    size_t from = address.len;
    while (from > 0 && address.ptr[from - 1] != '@')
        from--;
    return str_slice(address, from, address.len);
}

/* ---- headers ---- */

/* Without what could end the header and begin another. */
static str one_line(struct arena *arena, str value)
{
    struct text text = text_init(arena, value.len);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = (uint8_t)value.ptr[i];
        text_add_byte(&text, byte < ' ' || byte == 0x7F ? ' ' : (char)byte);
    }
    return text_str(&text);
}

static bool is_plain(str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((uint8_t)value.ptr[i] >= 0x7F)
            return false;
    return str_find(value, STR("=?")) < 0;
}

static size_t point_bytes(str rest)
{
    uint8_t first = (uint8_t)rest.ptr[0];
    size_t bytes = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    return bytes < rest.len ? bytes : rest.len;
}

static bool is_word_byte(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

/* RFC 2047: words of at most 75 bytes, none of which cuts a code point. */
static void add_encoded_words(struct text *out, str value)
{
    static const str begin = STR("=?utf-8?Q?");
    size_t used = ENCODED_WORD_BYTES_MAX;
    bool first = true;
    while (value.len > 0) {
        size_t bytes = point_bytes(value);
        size_t needs = bytes == 1 && is_word_byte((uint8_t)value.ptr[0]) ? 1 : 3 * bytes;
        if (used + needs + 2 > ENCODED_WORD_BYTES_MAX) {
            if (!first)
                text_add(out, STR("?=\r\n "));
            text_add(out, begin);
            used = begin.len;
            first = false;
        }
        for (size_t i = 0; i < bytes; i++) {
            uint8_t byte = (uint8_t)value.ptr[i];
            if (is_word_byte(byte))
                text_add_byte(out, (char)byte);
            else
                text_add_format(out, "=%c%c", HEX_DIGITS[byte >> 4], HEX_DIGITS[byte & 15]);
        }
        used += needs;
        value = str_slice(value, bytes, value.len);
    }
    text_add(out, STR("?="));
}

/* A header of free text. */
static void add_text_header(struct text *out, str name, str value)
{
    value = one_line(out->arena, value);
    text_add(out, name);
    text_add(out, STR(": "));
    if (value.len > 0 && (!is_plain(value) || name.len + value.len + 2 > HEADER_LINE_BYTES_MAX))
        add_encoded_words(out, value);
    else
        text_add(out, value);
    text_add(out, STR("\r\n"));
}

/* "Name <address>": the name is free text, quoted where it is plain. */
static void add_from(struct text *out, str from)
{
    str address = from;
    text_add(out, STR("From: "));
    if (mail_address(from, &address) && address.ptr != str_trim(from).ptr) {
        str rest = from;
        str name = str_trim(one_line(out->arena, str_cut(&rest, '<')));
        bool quotes =
            is_plain(name) && str_find_byte(name, '"') < 0 && !str_starts(name, STR("\\"));
        if (name.len > 0 && quotes)
            text_add_format(out, "\"%" STR_F "\"", STR_A(name));
        else if (name.len > 0)
            add_encoded_words(out, name);
        text_add_format(out, " <%" STR_F ">\r\n", STR_A(address));
        return;
    }
    text_add_format(out, "<%" STR_F ">\r\n", STR_A(one_line(out->arena, address)));
}

/* ---- bodies ---- */

/* RFC 2045, quoted-printable: readable as it is, and safe over any server. */
static void add_quoted_printable(struct text *out, str body)
{
    size_t column = 0;
    for (size_t i = 0; i < body.len; i++) {
        uint8_t byte = (uint8_t)body.ptr[i];
        if (byte == '\r' && i + 1 < body.len && body.ptr[i + 1] == '\n')
            continue;
        if (byte == '\n') {
            text_add(out, STR("\r\n"));
            column = 0;
            continue;
        }
        bool ends_line = i + 1 == body.len || body.ptr[i + 1] == '\n' || body.ptr[i + 1] == '\r';
        bool is_literal = (byte > ' ' && byte < 0x7F && byte != '=') ||
                          ((byte == ' ' || byte == '\t') && !ends_line);
        size_t needs = is_literal ? 1 : 3;
        if (column + needs > MAIL_LINE_BYTES_MAX - 1) {
            text_add(out, STR("=\r\n"));
            column = 0;
        }
        if (is_literal)
            text_add_byte(out, (char)byte);
        else
            text_add_format(out, "=%c%c", HEX_DIGITS[byte >> 4], HEX_DIGITS[byte & 15]);
        column += needs;
    }
    if (column > 0)
        text_add(out, STR("\r\n"));
}

static void add_part(struct text *out, const char *type, str body)
{
    text_add_format(out,
                    "Content-Type: text/%s; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                    type);
    add_quoted_printable(out, body);
}

/* Of the message's id, so that a message is the same whenever it is made. "=_" stands in no
 * quoted-printable body. */
static str boundary_of(struct arena *arena, str message_id)
{
    struct sha256 hash = sha256_of(message_id);
    return str_format(arena, "=_%" STR_F, STR_A(hex(arena, str_of(hash.bytes, 12))));
}

str mail_message(struct arena *arena, const struct mail *mail)
{
    ASSERT(arena && mail && mail->message_id.len > 0 && mail->to.len > 0);

    char date[30];
    struct text out = text_init(arena, 1024 + 2 * (mail->text.len + mail->html.len));
    time_http(mail->date, date);
    add_from(&out, mail->from);
    text_add_format(&out, "To: <%" STR_F ">\r\n", STR_A(one_line(arena, mail->to)));
    add_text_header(&out, STR("Subject"), mail->subject);
    text_add_format(&out, "Date: %.25s +0000\r\n", date); /* without its "GMT" */
    text_add_format(&out, "Message-ID: <%" STR_F ">\r\n", STR_A(one_line(arena, mail->message_id)));
    text_add(&out, STR("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"));
    if (!mail->html.ptr) {
        add_part(&out, "plain", mail->text);
        return text_str(&out);
    }

    str boundary = boundary_of(arena, mail->message_id);
    text_add_format(&out, "Content-Type: multipart/alternative; boundary=\"%" STR_F "\"\r\n\r\n",
                    STR_A(boundary));
    text_add_format(&out, "--%" STR_F "\r\n", STR_A(boundary));
    add_part(&out, "plain", mail->text);
    text_add_format(&out, "--%" STR_F "\r\n", STR_A(boundary));
    add_part(&out, "html", mail->html);
    text_add_format(&out, "--%" STR_F "--\r\n", STR_A(boundary));
    return text_str(&out);
}

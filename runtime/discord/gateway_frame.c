/* SPDX-License-Identifier: MIT */
#include "discord/gateway_frame.h"

bool crier_scan_item(struct crier_scan *scan, enum crier_scan_event *event)
{
    *event = crier_scan_next(scan);
    return *event > CRIER_SCAN_END && *event != CRIER_SCAN_CLOSE;
}

bool crier_scan_skip(struct crier_scan *scan)
{
    for (unsigned depth = 1; depth > 0;) {
        switch (crier_scan_next(scan)) {
        case CRIER_SCAN_OBJECT:
        case CRIER_SCAN_ARRAY:
            depth++;
            break;
        case CRIER_SCAN_CLOSE:
            depth--;
            break;
        case CRIER_SCAN_ERROR:
        case CRIER_SCAN_END:
            return false;
        default:
            break;
        }
    }
    return true;
}

uint64_t crier_str_id(struct crier_str s)
{
    uint64_t v = 0;
    if (!s.len || s.len > 20)
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.data[i] - '0');
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return 0;
        v = v * 10 + digit;
    }
    return v;
}

static bool read_member(struct crier_scan *scan, enum crier_scan_event event,
                        struct crier_gateway_frame *out)
{
    bool container = event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
    if (crier_str_is(scan->key, "d")) {
        const char *from = scan->at - 1;
        out->type = event;
        out->data = (struct crier_str){"", 0};
        if (!container)
            return true;
        if (!crier_scan_skip(scan))
            return false;
        out->data = (struct crier_str){from, (size_t)(scan->at - from)};
        return true;
    }
    if (container)
        return crier_scan_skip(scan);
    if (crier_str_is(scan->key, "op") && event == CRIER_SCAN_INT && scan->i >= 0 && scan->i < 1000)
        out->op = (int)scan->i;
    else if (crier_str_is(scan->key, "s") && event == CRIER_SCAN_INT && scan->i >= 0)
        out->seq = scan->i;
    else if (crier_str_is(scan->key, "t") && event == CRIER_SCAN_STR)
        memcpy(out->name, scan->s.data,
               scan->s.len < sizeof out->name ? scan->s.len : sizeof out->name - 1);
    return true;
}

int crier_gateway_frame_read(const char *text, size_t len, struct crier_gateway_frame *out,
                             struct crier_err *err)
{
    struct crier_scan scan;
    enum crier_scan_event event;
    int rc = 0;
    memset(out, 0, sizeof *out);
    out->op = -1;
    out->seq = -1;
    out->type = CRIER_SCAN_NULL;
    out->data.data = "";
    crier_scan_init(&scan, text, len);
    event = crier_scan_next(&scan);
    if (event > CRIER_SCAN_END && event != CRIER_SCAN_OBJECT) {
        rc = crier_err_set(err, CRIER_EINVAL, "expected an object");
        goto out;
    }
    while (event > CRIER_SCAN_END && crier_scan_item(&scan, &event)) {
        if (!read_member(&scan, event, out))
            event = CRIER_SCAN_ERROR;
    }
    /* Members that are containers are skipped whole, so this close is the message's own. */
    while (event > CRIER_SCAN_END)
        event = crier_scan_next(&scan);
    if (event == CRIER_SCAN_ERROR)
        rc = crier_scan_error(&scan, err);
    else if (out->op < 0)
        rc = crier_err_set(err, CRIER_EINVAL, "the message has no op");
out:
    crier_scan_fini(&scan);
    return rc;
}

/* --- zlib-stream --------------------------------------------------------------------------- */

static int begin(struct crier_gateway_inflate *inf, struct crier_err *err)
{
    if (inflateInit(&inf->z) != Z_OK)
        return crier_err_set(err, CRIER_EINTERNAL, "zlib: %s", inf->z.msg ? inf->z.msg : "?");
    inf->open = true;
    return 0;
}

int crier_gateway_inflate(struct crier_gateway_inflate *inf, const char *data, size_t len,
                          bool final, struct crier_err *err)
{
    static const unsigned char flush[4] = {0, 0, 0xff, 0xff};
    enum { KEEP = 1 << 20, STEP = 64 << 10 };
    int rc = inf->open ? 0 : begin(inf, err);
    if (rc)
        return rc;
    if (inf->whole && inf->out.cap > KEEP)
        crier_buf_fini(&inf->out); /* one guild may be large, the next ones are not */
    if (inf->whole)
        crier_buf_clear(&inf->out);
    inf->whole = false;
    inf->z.next_in = (unsigned char *)data;
    inf->z.avail_in = (unsigned)len;
    for (size_t i = len < 4 ? 0 : len - 4; i < len; i++) {
        memmove(inf->tail, inf->tail + 1, 3);
        inf->tail[3] = (unsigned char)data[i];
    }
    do {
        inf->z.next_out = (unsigned char *)crier_buf_reserve(&inf->out, STEP);
        inf->z.avail_out = STEP;
        rc = inflate(&inf->z, Z_SYNC_FLUSH);
        inf->out.len += STEP - inf->z.avail_out;
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return crier_err_set(err, CRIER_ECORRUPT, "the compressed stream is broken: %s",
                                 inf->z.msg ? inf->z.msg : rc == Z_STREAM_END ? "it ends" : "?");
        if (inf->out.len > CRIER_GATEWAY_MESSAGE_MAX)
            return crier_err_set(err, CRIER_ELIMIT, "a message of more than %u MiB",
                                 CRIER_GATEWAY_MESSAGE_MAX >> 20);
    } while (!inf->z.avail_out);
    inf->whole = final && memcmp(inf->tail, flush, 4) == 0;
    return inf->whole;
}

void crier_gateway_inflate_fini(struct crier_gateway_inflate *inf)
{
    if (inf->open)
        inflateEnd(&inf->z);
    crier_buf_fini(&inf->out);
    memset(inf, 0, sizeof *inf);
}

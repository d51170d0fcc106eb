/* SPDX-License-Identifier: MIT */
#include "record/tape.h"

#include <string.h>

/* Length of the well-formed character at s (Unicode 15, table 3-7), 0 when there is none. */
static size_t sequence(const unsigned char *s, size_t len)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        low = s[0] == 0xe0 ? 0xa0 : 0x80;
        high = s[0] == 0xed ? 0x9f : 0xbf;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        low = s[0] == 0xf0 ? 0x90 : 0x80;
        high = s[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (len < n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t crier_utf8_span(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        while (len - i >= sizeof word) {
            memcpy(&word, s + i, sizeof word);
            if (word & 0x8080808080808080u)
                break;
            i += sizeof word;
        }
        if (i == len)
            break;
        size_t n = sequence((const unsigned char *)s + i, len - i);
        if (!n)
            break;
        i += n;
    }
    return i;
}

void crier_utf8_append(struct crier_buf *b, const char *s, size_t len)
{
    for (;;) {
        size_t good = crier_utf8_span(s, len);
        crier_buf_append(b, s, good);
        if (good == len)
            return;
        crier_buf_append(b, "\xef\xbf\xbd", 3);
        s += good + 1;
        len -= good + 1;
    }
}

size_t crier_utf8_cut(const char *s, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t at = max;
    while (at && max - at < 3 && ((unsigned char)s[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/* SPDX-License-Identifier: MIT
 *
 * The gateway's messages: from the bytes of a WebSocket to op, number, name and data.
 *
 * A message is looked at whole before anything of it is believed; its data stays a slice of the
 * text, so that who wants it scans it in place (record/scan.h) and nobody builds a tree.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_DISCORD_GATEWAY_FRAME_H
#define CRIER_DISCORD_GATEWAY_FRAME_H

#include <string.h>
#include <zlib.h>

#include "record/scan.h"

enum crier_gateway_op {
    CRIER_GW_OP_DISPATCH = 0,
    CRIER_GW_OP_HEARTBEAT = 1,
    CRIER_GW_OP_IDENTIFY = 2,
    CRIER_GW_OP_PRESENCE = 3,
    CRIER_GW_OP_RESUME = 6,
    CRIER_GW_OP_RECONNECT = 7,
    CRIER_GW_OP_INVALID_SESSION = 9,
    CRIER_GW_OP_HELLO = 10,
    CRIER_GW_OP_ACK = 11,
};

struct crier_gateway_frame {
    int op;
    int64_t seq;               /**< -1: none */
    char name[48];             /**< of a dispatch: "GUILD_CREATE"; a longer one is cut */
    enum crier_scan_event type; /**< of the data; CRIER_SCAN_NULL when there is none */
    struct crier_str data;     /**< an object's or array's text, within the message; else empty */
};

/** CRIER_EINVAL: no message of a gateway, in err why. */
CRIER_CHECK int crier_gateway_frame_read(const char *text, size_t len,
                                         struct crier_gateway_frame *out, struct crier_err *err);

/** The next member or item of the container that is open; false: its end, or the text is invalid. */
bool crier_scan_item(struct crier_scan *scan, enum crier_scan_event *event);
/** After CRIER_SCAN_OBJECT or _ARRAY: go on to behind its end. False: the text is invalid. */
bool crier_scan_skip(struct crier_scan *scan);
/** A member's name. */
static inline bool crier_str_is(struct crier_str s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.data, text, s.len) == 0;
}
/** A snowflake, or another number that Discord writes as a text; 0: none. */
uint64_t crier_str_id(struct crier_str s);

/** zlib-stream: one stream for a connection, each message ends with 00 00 FF FF.
 *  Zero-initialised is valid. */
struct crier_gateway_inflate {
    z_stream z;
    bool open;
    unsigned char tail[4];
    struct crier_buf out; /**< the message, once it is whole; valid until more is fed */
    bool whole;
};
#define CRIER_GATEWAY_MESSAGE_MAX (64u << 20)
/** 1: a message is in `out`; 0: more is needed; CRIER_ECORRUPT, CRIER_ELIMIT (above 64 MiB):
 *  the connection is of no use any more. */
CRIER_CHECK int crier_gateway_inflate(struct crier_gateway_inflate *inflate, const char *data,
                                      size_t len, bool final, struct crier_err *err);
void crier_gateway_inflate_fini(struct crier_gateway_inflate *inflate);

#endif

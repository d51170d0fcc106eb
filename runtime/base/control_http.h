/* SPDX-License-Identifier: MIT
 *
 * What the control socket knows of HTTP/1.x: `GET /metrics`, so that whatever reads Prometheus' text
 * can have it without the command. A page is a command of the socket whose answer has a "text".
 *
 * Pure: text in, verdict out. Thread: [any].
 */
#ifndef CRIER_BASE_CONTROL_HTTP_H
#define CRIER_BASE_CONTROL_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define CRIER_CONTROL_HEAD (16 << 10) /**< a request's longest head */

struct crier_control_http {
    const char *cmd;  /**< the page's command; static */
    bool head;        /**< only the answer's head is wanted */
    const char *why;  /**< for the answer where it is not 200; static */
};

/** Whether this first line is of HTTP rather than JSON: a method, which no JSON begins as, and a
 *  version. */
bool crier_control_http_begins(const char *line, size_t len);
/** How long the head is, its empty line included; 0: it has not ended. from: where to look again,
 *  the length that was given the last time. */
size_t crier_control_http_head_length(const char *bytes, size_t len, size_t from);
/** Judge a whole head. Returns the status: 200, and the page's command; 400, 404, 405 or 505, and
 *  why. RFC 9112: a Host that is missing or there twice, folded lines and control characters are
 *  bad; bodies are not read. */
int crier_control_http_judge(const char *head, size_t len, struct crier_control_http *out);
/** The whole answer. body is the page, or, of a status other than 200, a line for people. */
void crier_control_http_answer(struct crier_buf *b, int status, const char *body, size_t len, bool head);

#endif

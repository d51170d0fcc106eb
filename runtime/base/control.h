/* SPDX-License-Identifier: MIT
 *
 * The control socket: how the client commands talk to a running host.
 *
 * A Unix socket, <state folder>/control.sock, mode 0600. A path that is too long for a socket goes
 * to $XDG_RUNTIME_DIR/crier-<hash>.sock (without that variable to /tmp/crier-<uid>/, 0700), and the
 * file `control.path` in the state folder says where. Both ends look at the other's uid: only the
 * host's own user and root get through.
 *
 * A connection carries one request: one JSON object with a string "cmd" on one line of at most
 * 1 MiB. The answer is any number of lines, each a JSON object ({"out":"text"}, {"record":{...}}),
 * and as the last {"done":true,"code":0,...}; then the host closes. code is the exit code that the
 * command ends with. What is not such a request is answered with code 64 and "error". A client
 * that closes its sending side counts as gone: what was answered by then is still sent.
 *
 * A request of HTTP/1.x is known by its first line: GET /metrics is answered as the command
 * "metrics" is, in HTTP (control_http.h), and the connection closes behind it.
 *
 * Thread: the server is [loop]; the client blocks and is for the command line.
 */
#ifndef CRIER_BASE_CONTROL_H
#define CRIER_BASE_CONTROL_H

#include <jansson.h>

#include "base/loop.h"

struct crier_control;      /* opaque: the server */
struct crier_control_conn; /* opaque: one connection, refcounted */

#define CRIER_CONTROL_LINE (1 << 20)     /**< a request's longest line */
#define CRIER_CONTROL_BACKLOG (32 << 20) /**< unread answers above this break the connection */
#define CRIER_CONTROL_ROOM (256 << 10)   /**< what a stream should wait for: crier_control_on_room */

/** A request came. conn and request are borrowed for the call; keep conn with
 *  crier_control_ref to answer later. Every request must be ended with crier_control_finish. */
typedef void crier_control_handler(void *arg, struct crier_control_conn *conn, json_t *request);

/** Listen. The caller holds the folder's lock (state/state.h), so a socket that is there is a dead
 *  host's, and is replaced. Sets SIGPIPE to be ignored, which libuv's writes need. CRIER_EEXIST:
 *  something that is not a socket is in the way. CRIER_EDENIED: /tmp/crier-<uid> is not ours. */
CRIER_CHECK int crier_control_serve(struct crier_loop *loop, const char *folder,
                                    crier_control_handler *handler, void *arg,
                                    struct crier_control **out, struct crier_err *err);
/** Remove the socket, close every connection (their on_close is called). NULL is allowed. libuv
 *  frees the handles in the loop's next turn. */
void crier_control_stop(struct crier_control *control);
/** Where it listens. */
const char *crier_control_path(const struct crier_control *control);

struct crier_control_conn *crier_control_ref(struct crier_control_conn *conn);
void crier_control_unref(struct crier_control_conn *conn);
/** Send one line; consumes `line`. CRIER_ECANCELED: the client has gone, or was cut off because
 *  it did not read (CRIER_CONTROL_BACKLOG), or the request is finished. CRIER_EINVAL: line is NULL,
 *  which json_pack gives for text that is not UTF-8; nothing is sent. */
int crier_control_reply(struct crier_control_conn *conn, json_t *line);
/** Send text that is a JSON object already (or several, with a newline between them); a newline is
 *  put behind it. As crier_control_reply. */
int crier_control_reply_text(struct crier_control_conn *conn, const char *text, size_t len);
/** Bytes that the client has not read yet; a stream of records slows down by it. */
size_t crier_control_backlog(const struct crier_control_conn *conn);
/** Call fn(arg) once, on the loop, when the backlog is CRIER_CONTROL_ROOM or less again (not from
 *  within this call; never if the connection ends before). One subscriber; NULL takes it back. */
void crier_control_on_room(struct crier_control_conn *conn, void (*fn)(void *arg), void *arg);
/** Send the last line: {"done":true,"code":code} and the members of `extra` (consumed; may be
 *  NULL), and close when it is written. Harmless when the client has gone. */
void crier_control_finish(struct crier_control_conn *conn, int code, json_t *extra);
/** Call fn(arg) once if the connection ends before crier_control_finish (also from within
 *  crier_control_reply and crier_control_stop). One subscriber; NULL takes it back. */
void crier_control_on_close(struct crier_control_conn *conn, void (*fn)(void *arg), void *arg);

/** Ask the host that holds this state folder, and wait for the end of its answer. on_line (may be
 *  NULL) gets each line but the last, borrowed. *done (may be NULL) is the last line, owned by the
 *  caller. Returns the host's code >= 0, or negative: CRIER_ENET "no running host in '<folder>'",
 *  or when the connection breaks; CRIER_EDENIED. */
CRIER_CHECK int crier_control_call(const char *folder, const json_t *request,
                                   void (*on_line)(void *arg, json_t *line), void *arg,
                                   json_t **done, struct crier_err *err);

/** As crier_control_call, with the text of each line but the last, without its newline; false from
 *  on_text: it is nothing that a host says (CRIER_ENET). */
CRIER_CHECK int crier_control_stream(const char *folder, const json_t *request,
                                     bool (*on_text)(void *arg, const char *text, size_t len),
                                     void *arg, json_t **done, struct crier_err *err);

#endif

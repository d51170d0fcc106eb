/* SPDX-License-Identifier: MIT
 *
 * One e-mail to an SMTP server, on a thread of its own: libcurl says QUIT to a server and waits for
 * the answer, which no loop may.
 *
 * Two are under way at most; others wait their turn. Nothing is tried again here.
 *
 * Thread: [loop].
 */
#ifndef CRIER_DISCORD_MAIL_H
#define CRIER_DISCORD_MAIL_H

#include "base/buf.h"
#include "base/loop.h"

enum crier_starttls { CRIER_STARTTLS_REQUIRED, CRIER_STARTTLS_TRY, CRIER_STARTTLS_OFF };

struct crier_mail {
    char *server; /**< smtp://host:port, or smtps:// */
    char *from;   /**< the address alone */
    char **to;    /**< addresses alone */
    size_t to_count;
    char *user, *password; /**< NULL: no login; wiped */
    enum crier_starttls starttls;
    char *ca;        /**< file of certificates; NULL: the machine's */
    char *message;   /**< whole, with its headers */
    size_t length;
    int64_t timeout; /**< microseconds, for the whole of it */
};
void crier_mail_fini(struct crier_mail *mail);

struct crier_mailer;    /* opaque; one a host */
struct crier_mail_call; /* opaque */

struct crier_mailer *crier_mailer_new(struct crier_loop *loop);
/** Cuts off what is under way and waits for the threads, which takes moments; done is not called any
 *  more. The loop must still take posted work, or be freed after this. NULL is allowed. */
void crier_mailer_free(struct crier_mailer *mailer);

/** mail is moved. done is called once, later, on the loop: err->code 0: it was taken; `refused` is
 *  then what the server said of recipients that it did not take ("550 no such user"), or empty.
 *  CRIER_EDENIED: the server will not take it (login, 5xx), CRIER_ECANCELED, CRIER_ETIMEOUT,
 *  CRIER_ENET. Needs a live loop: else CRIER_ENET. */
struct crier_mail_call *crier_mail_send(struct crier_mailer *mailer, struct crier_mail *mail,
                                        void (*done)(void *arg, const struct crier_err *err,
                                                     const char *refused),
                                        void *arg);
/** Give it up: done comes within moments. */
void crier_mail_cancel(struct crier_mail_call *call);

#endif

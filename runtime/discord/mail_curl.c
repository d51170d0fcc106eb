/* SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discord/mail.h"

#define AT_ONCE 2
#define QUIT_TIMEOUT 2000L /* milliseconds */

struct crier_mailer {
    struct crier_loop *loop;
    GQueue waiting;
    GPtrArray *all;     /* those that have not returned */
    GPtrArray *running; /* those with a thread */
    bool closed;
};

struct crier_mail_call {
    atomic_int refs; /* its owner, and each of the two things that are posted */
    struct crier_loop *loop;
    struct crier_mailer *mailer; /* NULL: it is gone */
    struct crier_mail mail;
    void (*done)(void *arg, const struct crier_err *err, const char *refused);
    void *arg;
    pthread_t thread;
    bool started, joined, told;
    atomic_bool cancelled;
    pthread_mutex_t lock;
    int fd; /* the connection, to wake it; -1: none */
    size_t read; /* of the message */
    char last[200];          /* what the server said last */
    struct crier_buf refused; /* what it said of recipients */
    struct crier_err err;
};

void crier_mail_fini(struct crier_mail *m)
{
    char *const secrets[] = {m->user, m->password};
    for (size_t i = 0; i < CRIER_COUNT(secrets); i++) {
        if (secrets[i])
            explicit_bzero(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    for (size_t i = 0; i < m->to_count; i++)
        free(m->to[i]);
    free(m->to);
    free(m->server);
    free(m->from);
    free(m->ca);
    free(m->message);
    memset(m, 0, sizeof *m);
}

static void unref(struct crier_mail_call *call)
{
    if (atomic_fetch_sub(&call->refs, 1) > 1)
        return;
    crier_mail_fini(&call->mail);
    crier_buf_fini(&call->refused);
    pthread_mutex_destroy(&call->lock);
    free(call);
}

/* --- curl's callbacks, on the thread ------------------------------------------------------- */

static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
    struct crier_mail_call *call = arg;
    size_t room = size * count, left = call->mail.length - call->read;
    size_t n = left < room ? left : room;
    memcpy(out, call->mail.message + call->read, n);
    call->read += n;
    return n;
}

/* The server's lines. */
static size_t on_line(char *data, size_t size, size_t count, void *arg)
{
    struct crier_mail_call *call = arg;
    size_t n = size * count, len = n;
    while (len && (data[len - 1] == '\r' || data[len - 1] == '\n'))
        len--;
    snprintf(call->last, sizeof call->last, "%.*s", (int)(len < 180 ? len : 180), data);
    for (char *p = call->last; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            *p = '?';
    if ((*call->last == '4' || *call->last == '5') && call->refused.len < 1000)
        crier_buf_printf(&call->refused, "%s%s", call->refused.len ? "; " : "", call->last);
    return n;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct crier_mail_call *call = arg;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load(&call->cancelled) ? 1 : 0;
}

static curl_socket_t on_open(void *arg, curlsocktype type, struct curl_sockaddr *address)
{
    struct crier_mail_call *call = arg;
    (void)type;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    pthread_mutex_lock(&call->lock);
    call->fd = fd;
    pthread_mutex_unlock(&call->lock);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct crier_mail_call *call = arg;
    pthread_mutex_lock(&call->lock);
    if (call->fd == fd)
        call->fd = -1;
    close(fd);
    pthread_mutex_unlock(&call->lock);
    return 0;
}

/* Whatever it waits for on its connection comes to an end. */
static void cut_off(struct crier_mail_call *call)
{
    pthread_mutex_lock(&call->lock);
    if (call->fd >= 0)
        shutdown(call->fd, SHUT_RDWR);
    pthread_mutex_unlock(&call->lock);
}

/* --- one mail ------------------------------------------------------------------------------ */

static void set_up(struct crier_mail_call *call, CURL *easy, struct curl_slist *to, char *message)
{
    const struct crier_mail *m = &call->mail;
    static const long tls[] = {[CRIER_STARTTLS_REQUIRED] = CURLUSESSL_ALL,
                               [CRIER_STARTTLS_TRY] = CURLUSESSL_TRY,
                               [CRIER_STARTTLS_OFF] = CURLUSESSL_NONE};
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_URL, m->server);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)((m->timeout + 999) / CRIER_MS));
    /* To curl the greeting and the login are part of connecting, and some servers keep one waiting. */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)((m->timeout + 999) / CRIER_MS));
    curl_easy_setopt(easy, CURLOPT_USE_SSL, tls[m->starttls]);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (m->ca) {
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(easy, CURLOPT_CAINFO, m->ca);
    }
    if (m->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, m->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, m->password ? m->password : "");
    }
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, m->from);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, to);
    /* One that is refused is no reason to leave out the others. */
#if LIBCURL_VERSION_NUM >= 0x080200
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLOWFAILS, 1L);
#else
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
#endif
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)m->length);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_line);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call);
}

static void judge(struct crier_mail_call *call, CURLcode rc, long status, const char *message)
{
    const char *text = *message ? message : curl_easy_strerror(rc);
    const char *said = *call->last >= '4' ? call->last : "";
    int code = atomic_load(&call->cancelled)                     ? CRIER_ECANCELED
               : rc == CURLE_OPERATION_TIMEDOUT                  ? CRIER_ETIMEOUT
               : rc == CURLE_LOGIN_DENIED || status / 100 == 5   ? CRIER_EDENIED
                                                                 : CRIER_ENET;
    if (code == CRIER_ECANCELED)
        crier_err_set(&call->err, code, "given up by its owner");
    else
        crier_err_set(&call->err, code, "%s%s%s%s", text, *said ? " (" : "", said,
                      *said ? ")" : "");
}

static void on_outcome(void *arg);
static void on_returned(void *arg);

/* A good end. Left to itself, curl says QUIT when it closes the connection, and waits two minutes for
 * a server that does not answer. */
static void quit(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 0L);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, NULL);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, NULL);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "QUIT");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, QUIT_TIMEOUT);
    (void)curl_easy_perform(easy);
}

static void *run(void *arg)
{
    struct crier_mail_call *call = arg;
    char message[CURL_ERROR_SIZE] = "";
    struct curl_slist *to = NULL;
    CURL *easy = curl_easy_init();
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    long status = 0;
    for (size_t i = 0; i < call->mail.to_count; i++)
        to = curl_slist_append(to, call->mail.to[i]);
    if (easy) {
        set_up(call, easy, to, message);
        rc = curl_easy_perform(easy);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    }
    if (rc != CURLE_OK)
        judge(call, rc, status, message);
    crier_loop_post(call->loop, on_outcome, call);
    if (easy) {
        /* What the server says from now on is nobody's business. */
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_body);
        if (rc == CURLE_OK)
            quit(easy);
        cut_off(call);
        curl_easy_cleanup(easy);
    }
    curl_slist_free_all(to);
    crier_loop_post(call->loop, on_returned, call);
    return NULL;
}

/* --- on the loop --------------------------------------------------------------------------- */

static void fail_later(struct crier_mail_call *call, int code, const char *text)
{
    crier_err_set(&call->err, code, "%s", text);
    crier_loop_post(call->loop, on_outcome, call);
    crier_loop_post(call->loop, on_returned, call);
}

static void begin_next(struct crier_mailer *mailer)
{
    while (!mailer->closed && mailer->running->len < AT_ONCE && mailer->waiting.length) {
        struct crier_mail_call *call = g_queue_pop_head(&mailer->waiting);
        call->started = pthread_create(&call->thread, NULL, run, call) == 0;
        if (call->started)
            g_ptr_array_add(mailer->running, call);
        else
            fail_later(call, CRIER_ENET, "no thread can be made for it");
    }
}

static void on_outcome(void *arg)
{
    struct crier_mail_call *call = arg;
    if (call->mailer) {
        call->told = true;
        call->done(call->arg, &call->err, call->refused.data ? call->refused.data : "");
        unref(call); /* the owner's: it has heard of the end */
    }
    unref(call);
}

static void join(struct crier_mail_call *call)
{
    if (call->started && !call->joined)
        pthread_join(call->thread, NULL);
    call->joined = true;
}

static void on_returned(void *arg)
{
    struct crier_mail_call *call = arg;
    struct crier_mailer *mailer = call->mailer;
    join(call);
    if (mailer) {
        g_ptr_array_remove_fast(mailer->running, call);
        g_ptr_array_remove_fast(mailer->all, call);
        begin_next(mailer);
    }
    unref(call);
}

struct crier_mailer *crier_mailer_new(struct crier_loop *loop)
{
    struct crier_mailer *mailer = crier_calloc(1, sizeof *mailer);
    mailer->loop = loop;
    mailer->all = g_ptr_array_new();
    mailer->running = g_ptr_array_new();
    g_queue_init(&mailer->waiting);
    return mailer;
}

struct crier_mail_call *crier_mail_send(struct crier_mailer *mailer, struct crier_mail *mail,
                                        void (*done)(void *arg, const struct crier_err *err,
                                                     const char *refused),
                                        void *arg)
{
    struct crier_mail_call *call = crier_calloc(1, sizeof *call);
    atomic_init(&call->refs, 3);
    call->mailer = mailer;
    call->loop = mailer->loop;
    call->mail = *mail;
    memset(mail, 0, sizeof *mail);
    call->done = done;
    call->arg = arg;
    call->fd = -1;
    pthread_mutex_init(&call->lock, NULL);
    g_ptr_array_add(mailer->all, call);
    if (!crier_loop_uv(mailer->loop)) {
        fail_later(call, CRIER_ENET, "there is no network in virtual time");
    } else if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fail_later(call, CRIER_ENET, "libcurl cannot be initialised");
    } else {
        g_queue_push_tail(&mailer->waiting, call);
        begin_next(mailer);
    }
    return call;
}

void crier_mail_cancel(struct crier_mail_call *call)
{
    if (atomic_exchange(&call->cancelled, true))
        return;
    if (g_queue_remove(&call->mailer->waiting, call))
        fail_later(call, CRIER_ECANCELED, "given up by its owner");
    else
        cut_off(call);
}

void crier_mailer_free(struct crier_mailer *mailer)
{
    struct crier_mail_call *call;
    if (!mailer)
        return;
    mailer->closed = true;
    for (guint i = 0; i < mailer->running->len; i++) {
        call = mailer->running->pdata[i];
        atomic_store(&call->cancelled, true);
        cut_off(call);
    }
    for (guint i = 0; i < mailer->running->len; i++)
        join(mailer->running->pdata[i]);
    /* What they have posted finds nobody to tell. */
    for (guint i = 0; i < mailer->all->len; i++) {
        call = mailer->all->pdata[i];
        bool waits = g_queue_remove(&mailer->waiting, call);
        call->mailer = NULL;
        if (waits) {
            unref(call);
            unref(call);
        }
        if (!call->told)
            unref(call);
    }
    g_ptr_array_free(mailer->all, TRUE);
    g_ptr_array_free(mailer->running, TRUE);
    free(mailer);
}

/* SPDX-License-Identifier: MIT
 *
 * How fast a bot of 10,000 guilds takes in what the gateway tells it after an identify: 100 MiB of
 * GUILD_CREATE, as one zlib-stream, through everything between the socket and the cache.
 *
 *     gateway [GUILDS]      one tab-separated line a figure: name, value, unit. Memory is what is
 *                           resident at the most above what the stream itself takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

#include "discord/gateway_cache.h"
#include "discord/gateway_session.h"

struct stream {
    struct crier_buf bytes;
    size_t *ends, count, json;
    z_stream z;
};

/* A guild of some 10 KiB: channels with overwrites, roles, emoji, the bot as a member. */
static void put_guild(struct crier_buf *b, unsigned long long n)
{
    unsigned long long id = (n + 1000) << 22;
    crier_buf_printf(b,
                     "{\"t\":\"GUILD_CREATE\",\"s\":%llu,\"op\":0,\"d\":{\"version\":1,\"stickers\":[],"
                     "\"voice_states\":[],\"unavailable\":false,\"id\":\"%llu\",\"name\":\"Guild "
                     "number %llu\",\"owner_id\":\"%llu\",\"roles\":[",
                     n + 2, id, n, id + 1);
    for (unsigned i = 0; i < 8; i++)
        crier_buf_printf(b,
                         "%s{\"version\":1,\"unicode_emoji\":null,\"tags\":{},\"position\":%u,"
                         "\"permissions\":\"%llu\",\"name\":\"role %u\",\"mentionable\":false,"
                         "\"managed\":false,\"id\":\"%llu\",\"icon\":null,\"hoist\":false,\"flags\":0,"
                         "\"color\":%u}",
                         i ? "," : "", i, 104324673ULL + i, i, id + i, i * 77777);
    crier_buf_puts(b, "],\"channels\":[");
    for (unsigned i = 0; i < 22; i++)
        crier_buf_printf(b,
                         "%s{\"version\":1,\"type\":%u,\"topic\":\"What this channel is about, "
                         "in a line or so \\u2014 %u\",\"rate_limit_per_user\":0,\"position\":%u,"
                         "\"permission_overwrites\":[{\"type\":0,\"id\":\"%llu\",\"deny\":\"%u\","
                         "\"allow\":\"0\"}],\"parent_id\":\"%llu\",\"name\":\"channel-%u\","
                         "\"last_message_id\":\"%llu\",\"id\":\"%llu\",\"icon_emoji\":null,"
                         "\"flags\":0}",
                         i ? "," : "", i % 5 == 4 ? 2 : 0, i, i, id, i % 3 ? 0 : 2048, id + 100, i,
                         id + 500 + i, id + 100 + i);
    crier_buf_puts(b, "],\"emojis\":[");
    for (unsigned i = 0; i < 8; i++)
        crier_buf_printf(b,
                         "%s{\"version\":1,\"roles\":[],\"require_colons\":true,\"name\":\"emoji%u\","
                         "\"managed\":false,\"id\":\"%llu\",\"available\":true,\"animated\":false}",
                         i ? "," : "", i, id + 300 + i);
    crier_buf_printf(b,
                     "],\"members\":[{\"user\":{\"username\":\"crier\",\"id\":\"9\",\"bot\":true},"
                     "\"roles\":[\"%llu\"],\"premium_since\":null,\"mute\":false,\"joined_at\":"
                     "\"2024-01-01T00:00:00.000000+00:00\",\"deaf\":false}],\"threads\":[],"
                     "\"presences\":[],\"member_count\":1234,\"large\":true,\"features\":"
                     "[\"COMMUNITY\",\"NEWS\"],\"joined_at\":\"2024-01-01T00:00:00+00:00\","
                     "\"description\":\"",
                     id + 1);
    for (unsigned i = 0; i < 20; i++)
        crier_buf_printf(b, "a line of some text about guild %llu; ", n + i);
    crier_buf_puts(b, "\"}}");
}

static void add(struct stream *s, const char *text, size_t len)
{
    s->json += len;
    s->z.next_in = (unsigned char *)text;
    s->z.avail_in = (unsigned)len;
    do {
        s->z.next_out = (unsigned char *)crier_buf_reserve(&s->bytes, 16384);
        s->z.avail_out = 16384;
        deflate(&s->z, Z_SYNC_FLUSH);
        s->bytes.len += 16384 - s->z.avail_out;
    } while (!s->z.avail_out);
    s->ends = crier_realloc(s->ends, (s->count + 1) * sizeof *s->ends);
    s->ends[s->count++] = s->bytes.len;
}

static struct crier_gateway_cache *cache;

static void no_connect(void *arg, const char *url)
{
    (void)arg;
    (void)url;
}

static void no_send(void *arg, const char *text, size_t len)
{
    (void)arg;
    (void)text;
    (void)len;
}

static void no_disconnect(void *arg, int code)
{
    (void)arg;
    (void)code;
}

static void leave(void *arg)
{
    crier_gateway_session_identify(arg, 1);
}

static void dispatch(void *arg, const struct crier_gateway_frame *frame)
{
    (void)arg;
    crier_gateway_cache_apply(cache, frame->name, frame->data, NULL);
}

static void changed(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static const struct crier_gateway_session_ops ops = {no_connect, no_send, no_disconnect,
                                                     leave,      dispatch, changed};

static double cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long resident_kib(void)
{
    long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * 4;
}

int main(int argc, char **argv)
{
    unsigned guilds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    static const char hello[] = "{\"op\":10,\"d\":{\"heartbeat_interval\":41250}}";
    static const char ready[] = "{\"t\":\"READY\",\"s\":1,\"op\":0,\"d\":{\"session_id\":\"x\","
                                "\"resume_gateway_url\":\"ws://x\",\"user\":{\"id\":\"9\"}}}";
    struct stream s = {0};
    struct crier_buf b = {0};
    struct crier_gateway_session session;
    struct crier_gateway_inflate inflate_ = {0};
    struct crier_gateway_cache_stats st;
    struct crier_err err = {0};
    long peak = 0;
    if (deflateInit(&s.z, 6) != Z_OK)
        return 1;
    add(&s, hello, sizeof hello - 1);
    add(&s, ready, sizeof ready - 1);
    for (unsigned i = 0; i < guilds; i++) {
        crier_buf_clear(&b);
        put_guild(&b, i);
        add(&s, b.data, b.len);
    }
    deflateEnd(&s.z);
    crier_buf_fini(&b);
    cache = crier_gateway_cache_new();
    crier_gateway_cache_me(cache, 9);
    crier_gateway_session_init(&session, &ops, &session);
    session.token = "t";
    session.url = "ws://x";
    crier_gateway_session_start(&session, 0);
    long before = resident_kib();
    double began = cpu();
    /* In pieces of 16 KiB, as they come from a socket. */
    size_t at = 0;
    for (size_t i = 0; i < s.count; i++) {
        while (at < s.ends[i]) {
            size_t n = s.ends[i] - at < 16384 ? s.ends[i] - at : 16384;
            int rc = crier_gateway_inflate(&inflate_, s.bytes.data + at, n, at + n == s.ends[i],
                                           &err);
            at += n;
            if (rc < 0) {
                fprintf(stderr, "%s\n", err.text);
                return 1;
            }
            if (rc > 0)
                crier_gateway_session_receive(&session, inflate_.out.data, inflate_.out.len, 1);
        }
        long now = i % 256 ? 0 : resident_kib();
        peak = now > peak ? now : peak;
    }
    double took = cpu() - began;
    long now = resident_kib();
    peak = now > peak ? now : peak;
    crier_gateway_cache_stats(cache, &st);
    if (st.guilds != guilds || st.channels != guilds * 22u || session.state != CRIER_GW_READY) {
        fprintf(stderr, "gateway: %zu guilds, %zu channels, %s\n", st.guilds, st.channels,
                session.stop.text);
        return 1;
    }
    printf("gateway_json\t%.1f\tMiB\n", (double)s.json / (1 << 20));
    printf("gateway_absorb\t%.3f\ts\n", took);
    printf("gateway_rate\t%.0f\tMiB/s\n", (double)s.json / (1 << 20) / took);
    printf("gateway_memory\t%.1f\tMiB\n", (double)(peak - before) / 1024);
    crier_gateway_inflate_fini(&inflate_);
    crier_gateway_session_fini(&session);
    crier_gateway_cache_free(cache);
    crier_buf_fini(&s.bytes);
    free(s.ends);
    return 0;
}

/* SPDX-License-Identifier: MIT
 * The gateway: messages (the input's lines) as a session gets them and as the cache learns from them; the
 * input as a zlib stream; and what is compressed comes out as it was, however it is cut. */
#include "support.h"

#include "discord/gateway_cache.h"
#include "discord/gateway_frame.h"
#include "discord/gateway_session.h"

struct talk {
    struct crier_gateway_session *session;
    struct crier_gateway_cache *cache;
    bool connected, wants;
    int events;
};

static void on_connect(void *arg, const char *url)
{
    struct talk *talk = arg;
    MUST(url && !talk->connected);
    talk->connected = true;
}

static void on_send(void *arg, const char *text, size_t len)
{
    struct talk *talk = arg;
    struct crier_gateway_frame frame;
    struct crier_err err = {0};
    MUST(talk->connected && crier_gateway_frame_read(text, len, &frame, &err) == 0);
}

static void on_disconnect(void *arg, int code)
{
    struct talk *talk = arg;
    (void)code;
    MUST(talk->connected);
    talk->connected = false;
}

static void on_want_identify(void *arg)
{
    ((struct talk *)arg)->wants = true;
}

static void on_dispatch(void *arg, const struct crier_gateway_frame *frame)
{
    struct talk *talk = arg;
    uint64_t guild = 0;
    talk->events++;
    crier_gateway_cache_apply(talk->cache, frame->name, frame->data, &guild);
}

static void on_changed(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static bool see_channel(void *arg, const struct crier_cached_channel *channel)
{
    const struct crier_gateway_cache *cache = arg;
    uint64_t may;
    struct crier_cached_guild guild;
    bool thread = channel->type >= 10 && channel->type <= 12;
    MUST(channel->name);
    MUST(crier_gateway_cache_permissions(cache, channel->id, 1, &may) || thread);
    MUST(crier_gateway_cache_guild(cache, channel->guild, &guild) && guild.name && guild.channels > 0);
    return true;
}

/* All is found, and nothing is left of it when it is forgotten. */
static void judge_cache(struct crier_gateway_cache *cache)
{
    struct crier_gateway_cache_stats stats;
    crier_gateway_cache_channels(cache, 0, see_channel, cache);
    crier_gateway_cache_forget(cache, 0, 1);
    crier_gateway_cache_stats(cache, &stats);
    MUST(stats.guilds == 0 && stats.channels == 0 && stats.bytes == 0);
}

static void session(const uint8_t *data, size_t size)
{
    static const struct crier_gateway_session_ops ops = {on_connect,       on_send,     on_disconnect,
                                                         on_want_identify, on_dispatch, on_changed};
    struct crier_gateway_session s;
    struct talk talk = {.session = &s, .cache = crier_gateway_cache_new()};
    int64_t now = CRIER_S;
    crier_gateway_session_init(&s, &ops, &talk);
    s.token = "x.y.z";
    s.url = "wss://gateway.example";
    s.intents = 513;
    s.shards = 1;
    s.rng = 7;
    crier_gateway_cache_me(talk.cache, 7);
    crier_gateway_session_start(&s, now);
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        if (!talk.connected) {
            /* On to the next try. */
            int64_t due = crier_gateway_session_due(&s);
            if (due == CRIER_NEVER)
                break;
            now = due > now ? due : now;
            crier_gateway_session_tick(&s, now);
        }
        if (talk.connected && s.state == CRIER_GW_CONNECTING)
            crier_gateway_session_opened(&s, now);
        if (talk.connected)
            crier_gateway_session_receive(&s, at, len, now);
        if (talk.connected && talk.wants && s.state == CRIER_GW_WAITING) {
            talk.wants = false;
            crier_gateway_session_identify(&s, now);
        }
        now += CRIER_S;
        at += len + 1;
    }
    judge_cache(talk.cache);
    crier_gateway_session_fini(&s);
    crier_gateway_cache_free(talk.cache);
}

static void frame(const uint8_t *data, size_t size)
{
    struct crier_gateway_frame f;
    struct crier_err err = {0};
    if (crier_gateway_frame_read((const char *)data, size, &f, &err) != 0) {
        MUST(err.text[0]);
    } else if (f.data.len) {
        MUST(f.data.data >= (const char *)data &&
             f.data.data + f.data.len <= (const char *)data + size);
        struct crier_gateway_cache *cache = crier_gateway_cache_new();
        crier_gateway_cache_apply(cache, f.name, f.data, NULL);
        judge_cache(cache);
        crier_gateway_cache_free(cache);
    }
}

/* The input is what came over the wire. */
static void unpack(const uint8_t *data, size_t size)
{
    struct crier_gateway_inflate whole = {0}, parts = {0};
    struct crier_err err = {0};
    int a = crier_gateway_inflate(&whole, (const char *)data, size, true, &err), b = 0;
    MUST(a >= 0 || err.text[0]);
    for (size_t i = 0; i < size && b >= 0; i += 5)
        b = crier_gateway_inflate(&parts, (const char *)data + i, size - i < 5 ? size - i : 5,
                                  i + 5 >= size, &err);
    MUST(!size || (a < 0) == (b < 0));
    if (a == 1)
        MUST(whole.out.len == parts.out.len &&
             (!whole.out.len || memcmp(whole.out.data, parts.out.data, whole.out.len) == 0));
    crier_gateway_inflate_fini(&whole);
    crier_gateway_inflate_fini(&parts);
}

/* The input is what the other end says: twice, in one stream. */
static void pack(const uint8_t *data, size_t size)
{
    static char packed[16384];
    struct crier_gateway_inflate in = {0};
    struct crier_err err = {0};
    z_stream z = {0};
    if (!size)
        return;
    MUST(deflateInit(&z, 6) == Z_OK);
    for (int i = 0; i < 2; i++) {
        z.next_in = (unsigned char *)data;
        z.avail_in = (unsigned)size;
        z.next_out = (unsigned char *)packed;
        z.avail_out = sizeof packed;
        MUST(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_out);
        size_t len = sizeof packed - z.avail_out, half = len / 2;
        MUST(crier_gateway_inflate(&in, packed, half, false, &err) == 0);
        MUST(crier_gateway_inflate(&in, packed + half, len - half, true, &err) == 1);
        MUST(in.out.len == size && memcmp(in.out.data, data, size) == 0);
    }
    deflateEnd(&z);
    crier_gateway_inflate_fini(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    frame(data, size);
    session(data, size);
    unpack(data, size);
    pack(data, size);
    return 0;
}

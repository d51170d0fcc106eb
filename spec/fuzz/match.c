/* SPDX-License-Identifier: MIT
 * Filters as words of a command, asked of records. "Not equal" is all that "equal" is not. */
#include "support.h"

#include "base/duration.h"
#include "record/match.h"
#include "record/read.h"

#define NOW (1653323295LL * CRIER_S)

static const char *const texts[] = {
    "{\"id\":\"01M7XK0AC0J2E3ZTR1YE1JSE7G\",\"seq\":1,\"time\":\"2022-05-23T16:28:15.000000Z\",\"node\":\"n\","
    "\"kind\":\"task\",\"level\":\"error\",\"logger\":\"task.x\",\"text\":\"Task 'x' status: 'fail'\",\"ok\":false,"
    "\"sim\":false,\"task_name\":\"x\",\"action\":\"fail\",\"runtime\":1.5,\"params\":[1,\"a\",null],"
    "\"run_id\":\"863071397207212052\"}",
    "{\"id\":\"01M7XK0AC294AN8EJEN1NN3Z06\",\"seq\":2,\"time\":\"2026-11-20T23:00:00.002000Z\",\"node\":\"n\","
    "\"kind\":\"message\",\"level\":\"info\",\"logger\":\"message.r\",\"text\":\"time out\",\"where\":\"bot.lua:14\","
    "\"ok\":true,\"sim\":true,\"guild\":{\"name\":\"Gala\",\"id\":\"863071397207212052\",\"type\":\"GUILD\"},"
    "\"sent_data\":{\"text\":\"S\"},\"channels\":{\"successful\":[{\"name\":\"c\",\"id\":\"978332728615378985\"}],"
    "\"failed\":[]},\"success_rate\":1.0,\"runtime\":0.001,\"requests\":1}",
    "{\"id\":\"01M7XK0AC294AN8EJEN1NN3Z07\",\"seq\":3,\"time\":\"2026-11-21T00:00:00.000000Z\",\"node\":\"n\","
    "\"kind\":\"event\",\"level\":\"warning\",\"logger\":\"e\",\"text\":\"\\u010d\\u0000 5\",\"sim\":false,"
    "\"event_id\":\"e1\",\"phase\":\"end\",\"a.b\":\"5\",\"a\":{\"b\":true},\"n\":9007199254740993}",
};
static struct crier_record *records[CRIER_COUNT(texts)];

static void make_records(void)
{
    struct crier_reader reader = {0};
    struct crier_err err = {0};
    for (size_t i = 0; i < CRIER_COUNT(texts); i++)
        if (!records[i] &&
            crier_reader_read(&reader, texts[i], strlen(texts[i]), &records[i], &err) != 0)
            MUST(!"the record is one");
    crier_reader_fini(&reader);
}

/* Which records fit, a bit each; -1: the words are wrong. */
static int ask(struct crier_zone *zone, const char *const *words, size_t n)
{
    struct crier_query *query = crier_query_new(zone);
    struct crier_err err = {0};
    int fits = 0;
    if (crier_match_add(query, words, n, zone, NOW, &err) == 0) {
        for (size_t i = 0; i < CRIER_COUNT(records); i++) {
            bool match = crier_query_match(query, records[i]);
            if (match)
                MUST(crier_query_wants(query, records[i]));
            fits |= match << i;
        }
    } else {
        MUST(err.text[0]);
        fits = -1;
    }
    crier_query_free(query);
    return fits;
}

static void negate(struct crier_zone *zone, const char *word)
{
    const char *eq = strpbrk(word, "=<>!~");
    if (!eq || *eq != '=' || eq[1] == '=' || eq[1] == '~')
        return;
    char *not_equal = crier_asprintf("%.*s!%s", (int)(eq - word), word, eq);
    int fits = ask(zone, &word, 1), others = ask(zone, (const char *const *)&not_equal, 1);
    MUST((fits < 0) == (others < 0));
    MUST(fits < 0 || (fits ^ others) == (1 << CRIER_COUNT(records)) - 1);
    free(not_equal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), *save = NULL;
    const char *words[16];
    size_t n = 0;
    struct crier_err err = {0};
    static struct crier_zone *zone;
    int64_t us;
    MUST(zone || crier_zone_open("UTC", &zone, &err) == 0);
    make_records();
    if (crier_match_time(text, zone, NOW, &us, &err) != 0)
        MUST(err.text[0]);
    for (char *w = strtok_r(text, "\n", &save); w && n < 16; w = strtok_r(NULL, "\n", &save))
        words[n++] = w;
    int all = ask(zone, words, n);
    for (size_t i = 0; i < n; i++) {
        int one = ask(zone, &words[i], 1);
        MUST(one >= 0 || all < 0);
        if (n == 1)
            negate(zone, words[0]);
    }
    free(text);
    return 0;
}
